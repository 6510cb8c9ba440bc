"""Gates that close while a model trains."""
