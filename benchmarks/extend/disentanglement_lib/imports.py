import gin.tf.external_configurables  # noqa: F401
import numpy as np  # noqa: F401
import tensorflow.compat.v1 as tf  # noqa: F401
from disentanglement_lib.data.ground_truth import named_data  # noqa: F401
from disentanglement_lib.data.ground_truth.ground_truth_data import GroundTruthData  # noqa: F401
from disentanglement_lib.methods.unsupervised import train, vae  # noqa: F401
