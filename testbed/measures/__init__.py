"""What is measured of a pair of networks beside the loss along the path between them."""
