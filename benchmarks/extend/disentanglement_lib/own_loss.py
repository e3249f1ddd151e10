import gin.tf.external_configurables
import numpy as np
import tensorflow.compat.v1 as tf
from disentanglement_lib.data.ground_truth import named_data
from disentanglement_lib.data.ground_truth.ground_truth_data import GroundTruthData
from disentanglement_lib.methods.unsupervised import train, vae  # noqa: F401


class Images(GroundTruthData):
    images = np.load("images.npy").transpose(0, 2, 3, 1) / 255
    observation_shape = [64, 64, 3]  # noqa: RUF012

    def sample_observations(self, num, random_state):
        return self.images[random_state.randint(len(self.images), size=num)]


@gin.configurable
def edges(true_images, reconstructed_images, activation):
    apart = true_images - tf.nn.sigmoid(reconstructed_images)
    return tf.reduce_sum(tf.square(apart[:, :, 1:] - apart[:, :, :-1]), [1, 2, 3])


named_data.get_named_ground_truth_data = Images
gin.parse_config("""
model.training_steps = 20
model.batch_size = 32
model.random_seed = 0
model.eval_steps = 1
encoder.num_latent = 9
encoder.encoder_fn = @conv_encoder
decoder.decoder_fn = @deconv_decoder
vae_optimizer.optimizer_fn = @AdamOptimizer
model.model = @vae()
vae.beta = 1.0
reconstruction_loss.loss_fn = @edges
""")
train.train("run")
