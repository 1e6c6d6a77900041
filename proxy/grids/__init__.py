"""Where the grid's intensity by the hour comes from; the only part of the product that asks the network for facts."""
