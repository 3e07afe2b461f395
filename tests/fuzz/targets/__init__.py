"""One module a target: MODULES, the modules that it is for; one(), which raises on any breach; seeds(), made from real messages."""
