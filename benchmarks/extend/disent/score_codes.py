import numpy as np
from disent.metrics._dci import _compute_dci
from disent.metrics._mig import _compute_mig
from disent.metrics._sap import _compute_sap

codes, factors = np.load("codes.npy").T, np.load("factors.npy").T
n = 2 * codes.shape[1] // 3
halves = codes[:, :n], factors[:, :n], codes[:, n:], factors[:, n:]
print(_compute_mig(codes, factors), _compute_dci(*halves), _compute_sap(*halves, False))
