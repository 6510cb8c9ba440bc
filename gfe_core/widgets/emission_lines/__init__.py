"""A spectrum with gaps under the flow."""
