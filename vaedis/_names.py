"""Names of choices that both specifications and what carries them out know. Imports nothing, so that plain data can name them too."""

FRAMEWORKS = ("beta-vae", "ada-gvae")
AVERAGES = ("mean", "published")
PAIR_RULES = ("paper-code", "paper-text")
MODELS = ("conv", "mlp")
