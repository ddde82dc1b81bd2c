"""The broker: topology, connections, confirmed publishing, batched consuming, replies."""
