import vaedis as vd


def edges(a, b):
    return (a - b).diff(dim=-1).square().mean((1, 2, 3))


spec = vd.RunSpec(
    data_options={"grid_spacing": 8, "num_squares": 2}, normalize=False, steps=20, batch=32
)
print(vd.fit(spec, loss=edges))
