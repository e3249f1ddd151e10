import torch

import vaedis as vd

spec = vd.RunSpec(
    data_options={"grid_spacing": 8, "num_squares": 2}, normalize=False, steps=20, batch=32
)
run = vd.fit(spec)
run.save("run")
loaded = vd.load_run("run")
index = torch.arange(64)
print(torch.equal(run.posterior(index)[0], loaded.posterior(index)[0]))
