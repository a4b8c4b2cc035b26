"""What a store is made of: orders in a file that all workers of a host share, and the one worker that sends them."""
