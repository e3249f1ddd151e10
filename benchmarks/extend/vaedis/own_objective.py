import vaedis as vd
from vaedis.losses import kl_to_prior
from vaedis.training.objectives import Terms, reparameterise


def sparse(model, x, noise, *, loss, beta):
    mean, logvar = model.encode(x)
    recon = loss(model.decode(reparameterise(mean, logvar, noise)), x).mean()
    kl = kl_to_prior(mean, logvar).mean()
    return Terms(recon + beta * (kl + mean.abs().mean()), recon, kl)


spec = vd.RunSpec(
    data_options={"grid_spacing": 8, "num_squares": 2}, normalize=False, steps=20, batch=32
)
print(vd.fit(spec, objective=sparse))
