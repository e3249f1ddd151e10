"""Training a VAE, and what can be seen inside one."""
