"""The networks: expert and Janus, what goes into them and what comes out, and the folders their weights lie in."""
