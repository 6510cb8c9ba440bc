"""The player: latents that flow over an energy landscape, and the explorers around it."""
