"""Which factors of a data set a VAE can find under a loss, foretold from distances."""
