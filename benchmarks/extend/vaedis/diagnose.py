import vaedis as vd


def edges(a, b):
    return (a - b).diff(dim=-1).square().mean((1, 2, 3))


data = vd.load("xysquares", grid_spacing=8, num_squares=2)
print(vd.diagnose(data, losses=["mse", edges], traversals=64))
