from torch import nn

import vaedis as vd


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(12288, 128), nn.GELU(), nn.Linear(128, 18)
        )
        self.decoder = nn.Sequential(
            nn.Linear(9, 128), nn.GELU(), nn.Linear(128, 12288), nn.Unflatten(1, (3, 64, 64))
        )

    def encode(self, x):
        return self.encoder(x).chunk(2, dim=1)

    def decode(self, z):
        return self.decoder(z)


spec = vd.RunSpec(
    data_options={"grid_spacing": 8, "num_squares": 2}, normalize=False, steps=20, batch=32
)
print(vd.fit(spec, model=Net()))
