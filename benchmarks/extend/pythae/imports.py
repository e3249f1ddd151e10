import numpy as np  # noqa: F401
from pythae.models import BetaVAE, BetaVAEConfig  # noqa: F401
from pythae.pipelines import TrainingPipeline  # noqa: F401
from pythae.trainers import BaseTrainerConfig  # noqa: F401
