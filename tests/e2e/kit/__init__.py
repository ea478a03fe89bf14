"""What the end-to-end tests are made of: real servers started privately, a local service and visitors that speak raw bytes."""
