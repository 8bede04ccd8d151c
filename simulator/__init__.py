"""The other side, for benches and tests: broker, cloud, contacts and virtual hardware."""
