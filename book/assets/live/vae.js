"use strict";
/* The mathematics of the live figures: perceived distances of squares on a grid, and a small VAE that trains on nothing
   else. Plain functions of numbers; nothing here touches the page. Checked against vaedis by tests/test_live.py. */

const live = (() => {
  const SIZE = 64; // pixels along a side of an image
  const SQUARE = 8; // pixels along a side of a square
  const POSITIONS = 8; // of a square along each axis
  // of each channel of XYSquares, as vaedis.data.XYSquares has them
  const STD = Math.sqrt((1 / 64) * (63 / 64) * (4096 / 4095));

  // ---- random numbers -------------------------------------------------------------------------------------------

  /* Return a function that draws numbers in [0, 1), the same ones for the same seed (Mulberry32). */
  function uniform(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  /* Return a function that draws standard normal numbers (Box and Muller). */
  function normal(seed) {
    const draw = uniform(seed);
    let spare = null;
    return () => {
      if (spare !== null) {
        const value = spare;
        spare = null;
        return value;
      }
      const radius = Math.sqrt(-2 * Math.log(1 - draw()));
      const angle = 2 * Math.PI * draw();
      spare = radius * Math.sin(angle);
      return radius * Math.cos(angle);
    };
  }

  // ---- perceived distances ----------------------------------------------------------------------------------------

  /* Return the first pixel of each position: the grid stands in the middle of the image, as in XYSquares. */
  function firstPixels(spacing, square = SQUARE) {
    const left = Math.floor((SIZE - (square + (POSITIONS - 1) * spacing)) / 2);
    return Array.from({ length: POSITIONS }, (_, k) => left + spacing * k);
  }

  /* Return the bars of 64 pixels that stand for a square at each position along one axis. */
  function bars(spacing, square) {
    return firstPixels(spacing, square).map((first) =>
      Float64Array.from({ length: SIZE }, (_, p) => (p >= first && p < first + square ? 1 : 0)),
    );
  }

  /* Return a bar averaged over a box of 2 * radius + 1 pixels around each pixel, with zeros around the image. */
  function blurred(bar, radius) {
    return bar.map((_, p) => {
      let sum = 0;
      for (let q = Math.max(0, p - radius); q <= Math.min(SIZE - 1, p + radius); q++) sum += bar[q];
      return sum / (2 * radius + 1);
    });
  }

  /* Return a bar averaged over blocks of 2 ** level pixels. */
  function pooled(bar, level) {
    const block = 2 ** level;
    return Float64Array.from({ length: SIZE / block }, (_, k) => {
      let sum = 0;
      for (let q = k * block; q < (k + 1) * block; q++) sum += bar[q];
      return sum / block;
    });
  }

  /* Return the inner products of all pairs of bars: Float64Array of POSITIONS * POSITIONS. */
  function products(list) {
    return Float64Array.from({ length: list.length ** 2 }, (_, k) =>
      dot(list[Math.floor(k / list.length)], list[k % list.length]),
    );
  }

  /* Return what a loss adds up: a list of { weight, axis }, where an inner product of two images of one square is the sum
     over the list of weight * axis(columns) * axis(rows). All losses here treat both axes alike and apart. */
  function terms({ loss = "mse", spacing, square = SQUARE, radius = 31, weight = (2 * radius + 1) ** 2, levels = 6, growth = 4 }) {
    const plain = bars(spacing, square);
    const list = [{ weight: 1 / SIZE ** 2, axis: products(plain) }];
    if (loss === "blur") {
      list.push({ weight: weight / SIZE ** 2, axis: products(plain.map((bar) => blurred(bar, radius))) });
    }
    if (loss === "pyramid") {
      for (let level = 1; level < levels; level++) {
        const axis = products(plain.map((bar) => pooled(bar, level)));
        list.push({ weight: growth ** level / (SIZE / 2 ** level) ** 2, axis });
      }
    }
    return list;
  }

  function dot(a, b) {
    let sum = 0;
    for (let k = 0; k < a.length; k++) sum += a[k] * b[k];
    return sum;
  }

  /* Return the inner products of the images of one square under a loss, whose squared differences are perceived distances.
     Image 8 * column + row. Options: spacing; square, its side; loss, "mse" (for images of 0 and 1 the same as mean absolute
     error), "blur" (MSE plus box blur, with radius and weight) or "pyramid" (levels, growth); standardised as networks see
     images, or in [0, 1]. Float64Array of 64 * 64. */
  function imageProducts({ standardised = true, ...options }) {
    const n = POSITIONS * POSITIONS;
    const result = new Float64Array(n * n);
    const unit = standardised ? 1 / (STD * STD) : 1;
    for (const { weight, axis } of terms(options)) {
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) {
          const columns = axis[Math.floor(i / POSITIONS) * POSITIONS + Math.floor(j / POSITIONS)];
          const rows = axis[(i % POSITIONS) * POSITIONS + (j % POSITIONS)];
          result[i * n + j] += unit * weight * columns * rows;
        }
      }
    }
    return result;
  }

  /* Return the mean distance between the columns of a square, over all rows: Float64Array of POSITIONS * POSITIONS. */
  function factorMatrix(distances) {
    const matrix = new Float64Array(POSITIONS * POSITIONS);
    for (let a = 0; a < POSITIONS; a++) {
      for (let b = 0; b < POSITIONS; b++) {
        for (let row = 0; row < POSITIONS; row++) {
          const i = a * POSITIONS + row;
          const j = b * POSITIONS + row;
          matrix[a * POSITIONS + b] += distances[i * POSITIONS * POSITIONS + j] / POSITIONS;
        }
      }
    }
    return matrix;
  }

  /* Return squared distances from inner products of n vectors. Float64Array of n * n. */
  function squaredDistances(products) {
    const n = Math.sqrt(products.length);
    const distances = new Float64Array(n * n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        const d = products[i * n + i] + products[j * n + j] - 2 * products[i * n + j];
        distances[i * n + j] = Math.max(0, d);
      }
    }
    return distances;
  }

  /* Return Spearman's correlation of two lists; null where either does not vary. Values that differ by less than a
     billionth of the largest tie, as in vaedis. */
  function rankCorrelation(a, b) {
    const x = ranks(a);
    const y = ranks(b);
    const n = x.length;
    const middle = (n - 1) / 2;
    let xy = 0;
    let xx = 0;
    let yy = 0;
    for (let k = 0; k < n; k++) {
      xy += (x[k] - middle) * (y[k] - middle);
      xx += (x[k] - middle) ** 2;
      yy += (y[k] - middle) ** 2;
    }
    return xx === 0 || yy === 0 ? null : xy / Math.sqrt(xx * yy);
  }

  function ranks(values) {
    const largest = values.reduce((most, v) => Math.max(most, Math.abs(v)), 0) || 1;
    const rounded = Array.from(values, (v) => Math.round((v / largest) * 1e9));
    const order = rounded.map((_, k) => k).sort((i, j) => rounded[i] - rounded[j]);
    const result = new Float64Array(order.length);
    for (let start = 0; start < order.length; ) {
      let end = start;
      while (end + 1 < order.length && rounded[order[end + 1]] === rounded[order[start]]) end++;
      for (let k = start; k <= end; k++) result[order[k]] = (start + end) / 2;
      start = end + 1;
    }
    return result;
  }

  // ---- coordinates ------------------------------------------------------------------------------------------------

  /* Return eigenvalues and eigenvectors (rows) of a symmetric matrix, Float64Array of n * n, by Jacobi's rotations. */
  function eigen(matrix) {
    const n = Math.sqrt(matrix.length);
    const a = Float64Array.from(matrix);
    const v = new Float64Array(n * n);
    for (let k = 0; k < n; k++) v[k * n + k] = 1;
    const size = Math.sqrt(dot(a, a)) || 1;
    for (let sweep = 0; sweep < 60; sweep++) {
      let off = 0;
      for (let p = 0; p < n; p++) for (let q = 0; q < p; q++) off += a[p * n + q] ** 2;
      if (Math.sqrt(off) < 1e-15 * size) break;
      for (let p = 0; p < n; p++) {
        for (let q = p + 1; q < n; q++) {
          if (Math.abs(a[p * n + q]) < 1e-300) continue;
          const theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
          const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
          const c = 1 / Math.sqrt(t * t + 1);
          rotate(a, v, n, p, q, c, t * c);
        }
      }
    }
    return { values: Float64Array.from({ length: n }, (_, k) => a[k * n + k]), vectors: v };
  }

  function rotate(a, v, n, p, q, c, s) {
    for (let k = 0; k < n; k++) {
      const x = a[k * n + p];
      const y = a[k * n + q];
      a[k * n + p] = c * x - s * y;
      a[k * n + q] = s * x + c * y;
    }
    for (let k = 0; k < n; k++) {
      const x = a[p * n + k];
      const y = a[q * n + k];
      a[p * n + k] = c * x - s * y;
      a[q * n + k] = s * x + c * y;
      const g = v[p * n + k];
      const h = v[q * n + k];
      v[p * n + k] = c * g - s * h;
      v[q * n + k] = s * g + c * h;
    }
  }

  /* Return n vectors whose mean squared differences are the squared distances of n vectors with these inner products:
     { table: Float64Array of n * size, size }. */
  function coordinates(products) {
    const n = Math.sqrt(products.length);
    const means = new Float64Array(n);
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) means[i] += products[i * n + j] / n;
    const grand = means.reduce((sum, m) => sum + m, 0) / n;
    const centred = products.map((value, k) => value - means[Math.floor(k / n)] - means[k % n] + grand);
    const { values, vectors } = eigen(centred);
    const largest = Math.max(...values);
    const used = Array.from(values.keys()).filter((k) => values[k] > 1e-12 * largest);
    used.sort((i, j) => values[j] - values[i]);
    const table = new Float64Array(n * used.length);
    for (let i = 0; i < n; i++) {
      used.forEach((k, column) => {
        // a loss is a mean over coordinates, and a squared distance a sum
        table[i * used.length + column] = vectors[k * n + i] * Math.sqrt(values[k] * used.length);
      });
    }
    return { table, size: used.length };
  }

  // ---- the network ------------------------------------------------------------------------------------------------

  /* A VAE of fully connected layers: inputs -> hidden -> ... -> 2 * latents, and back. Weights are drawn as in the paper:
     Xavier's normal distribution, biases 0. `parameters` is a list of { w, b, rows, columns }, the encoder's layers first. */
  class Vae {
    constructor(inputs, latents, hidden = [32, 32], seed = 0) {
      this.inputs = inputs;
      this.latents = latents;
      const draw = normal(seed * 2 + 1);
      const encoder = [inputs, ...hidden, 2 * latents];
      const decoder = [latents, ...[...hidden].reverse(), inputs];
      this.encoder = layers(encoder, draw);
      this.decoder = layers(decoder, draw);
      this.parameters = [...this.encoder, ...this.decoder];
      this.moments = this.parameters.map((p) => ({
        w: [new Float64Array(p.w.length), new Float64Array(p.w.length)],
        b: [new Float64Array(p.b.length), new Float64Array(p.b.length)],
      }));
      this.steps = 0;
    }

    /* Return means and log-variances of the posteriors of a batch: Float64Arrays of batch * latents. */
    encode(x, batch) {
      return this.split(forward(this.encoder, x, batch).at(-1), batch);
    }

    /* Return what a batch of codes decodes to: Float64Array of batch * inputs. */
    decode(z, batch) {
      return forward(this.decoder, z, batch).at(-1);
    }

    split(h, batch) {
      const z = this.latents;
      const mean = new Float64Array(batch * z);
      const logvar = new Float64Array(batch * z);
      for (let i = 0; i < batch; i++) {
        for (let k = 0; k < z; k++) {
          mean[i * z + k] = h[i * 2 * z + k];
          logvar[i * z + k] = h[i * 2 * z + z + k];
        }
      }
      return { mean, logvar };
    }

    /* Take one step of Adam on a batch: the mean squared error over all numbers, plus beta times the mean over batch and
       latents of the KL divergence from a standard normal distribution. `noise`: Float64Array of batch * latents.
       Returns the terms before the step. */
    step(x, noise, { beta, lr = 1e-3 }) {
      const z = this.latents;
      const batch = noise.length / z;
      const up = forward(this.encoder, x, batch);
      const { mean, logvar } = this.split(up.at(-1), batch);
      const std = logvar.map((v) => Math.exp(0.5 * v));
      const sample = mean.map((m, k) => m + std[k] * noise[k]);
      const down = forward(this.decoder, sample, batch);
      const output = down.at(-1);

      let recon = 0;
      const outputGradient = new Float64Array(output.length);
      for (let k = 0; k < output.length; k++) {
        const error = output[k] - x[k];
        recon += (error * error) / output.length;
        outputGradient[k] = (2 * error) / output.length;
      }
      let kl = 0;
      for (let k = 0; k < mean.length; k++) {
        kl += (0.5 * (mean[k] ** 2 + Math.exp(logvar[k]) - 1 - logvar[k])) / mean.length;
      }

      const decoderGradients = backward(this.decoder, down, outputGradient, batch);
      const codeGradient = new Float64Array(batch * 2 * z);
      for (let i = 0; i < batch; i++) {
        for (let k = 0; k < z; k++) {
          const at = i * z + k;
          const towards = decoderGradients.input[at];
          codeGradient[i * 2 * z + k] = towards + (beta * mean[at]) / mean.length;
          codeGradient[i * 2 * z + z + k] =
            towards * noise[at] * 0.5 * std[at] + (beta * 0.5 * (Math.exp(logvar[at]) - 1)) / mean.length;
        }
      }
      const encoderGradients = backward(this.encoder, up, codeGradient, batch);
      this.adam([...encoderGradients.layers, ...decoderGradients.layers], lr);
      return { loss: recon + beta * kl, recon, kl };
    }

    adam(gradients, lr) {
      this.steps += 1;
      const first = 1 - 0.9 ** this.steps;
      const second = 1 - 0.999 ** this.steps;
      this.parameters.forEach((layer, k) => {
        for (const name of ["w", "b"]) {
          const [m, v] = this.moments[k][name];
          const g = gradients[k][name];
          for (let i = 0; i < g.length; i++) {
            m[i] += 0.1 * (g[i] - m[i]);
            v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
            layer[name][i] -= ((lr / first) * m[i]) / (Math.sqrt(v[i]) / Math.sqrt(second) + 1e-8);
          }
        }
      });
    }
  }

  function layers(sizes, draw) {
    return sizes.slice(1).map((rows, k) => {
      const columns = sizes[k];
      const std = Math.sqrt(2 / (rows + columns));
      return {
        rows,
        columns,
        w: Float64Array.from({ length: rows * columns }, () => std * draw()),
        b: new Float64Array(rows),
      };
    });
  }

  /* Return the input and what each layer puts out, with ReLU between layers and none after the last. */
  function forward(network, x, batch) {
    const outputs = [x];
    network.forEach((layer, depth) => {
      const input = outputs.at(-1);
      const output = new Float64Array(batch * layer.rows);
      const last = depth === network.length - 1;
      for (let i = 0; i < batch; i++) {
        for (let r = 0; r < layer.rows; r++) {
          let sum = layer.b[r];
          const w = r * layer.columns;
          const at = i * layer.columns;
          for (let c = 0; c < layer.columns; c++) sum += layer.w[w + c] * input[at + c];
          output[i * layer.rows + r] = last || sum > 0 ? sum : 0;
        }
      }
      outputs.push(output);
    });
    return outputs;
  }

  /* Return gradients of each layer and of the input, from the gradient of the last layer's output. */
  function backward(network, outputs, gradient, batch) {
    const result = new Array(network.length);
    for (let depth = network.length - 1; depth >= 0; depth--) {
      const layer = network[depth];
      const input = outputs[depth];
      const w = new Float64Array(layer.w.length);
      const b = new Float64Array(layer.rows);
      const before = new Float64Array(batch * layer.columns);
      for (let i = 0; i < batch; i++) {
        for (let r = 0; r < layer.rows; r++) {
          const g = gradient[i * layer.rows + r];
          if (g === 0) continue;
          b[r] += g;
          const row = r * layer.columns;
          const at = i * layer.columns;
          for (let c = 0; c < layer.columns; c++) {
            w[row + c] += g * input[at + c];
            before[at + c] += g * layer.w[row + c];
          }
        }
      }
      // ReLU of the layer before lets through where it put out more than 0
      if (depth > 0) for (let k = 0; k < before.length; k++) if (input[k] <= 0) before[k] = 0;
      result[depth] = { w, b };
      gradient = before;
    }
    return { layers: result, input: gradient };
  }

  // ---- what is read off a network -----------------------------------------------------------------------------------

  /* Return, for each observation, how often a sample of its posterior is most probable under each: n * n shares.
     `draws`: Float64Array of standard normal numbers, samples * n * latents of them. */
  function confusion(mean, std, latents, draws) {
    const n = mean.length / latents;
    const samples = draws.length / mean.length;
    const shares = new Float64Array(n * n);
    const logWidth = new Float64Array(n);
    for (let j = 0; j < n; j++) for (let k = 0; k < latents; k++) logWidth[j] += Math.log(std[j * latents + k]);
    for (let s = 0; s < samples; s++) {
      for (let i = 0; i < n; i++) {
        let best = 0;
        let highest = -Infinity;
        for (let j = 0; j < n; j++) {
          let density = -logWidth[j];
          for (let k = 0; k < latents; k++) {
            const z = mean[i * latents + k] + std[i * latents + k] * draws[(s * n + i) * latents + k];
            density -= 0.5 * ((z - mean[j * latents + k]) / std[j * latents + k]) ** 2;
          }
          if (density > highest) {
            highest = density;
            best = j;
          }
        }
        shares[i * n + best] += 1 / samples;
      }
    }
    return shares;
  }

  /* Return the Euclidean distances of all pairs i < j of n points, in the order (0, 1), (0, 2), ... */
  function pairDistances(points, size) {
    const n = points.length / size;
    const result = [];
    for (let i = 0; i < n; i++) {
      for (let j = i + 1; j < n; j++) {
        let sum = 0;
        for (let k = 0; k < size; k++) sum += (points[i * size + k] - points[j * size + k]) ** 2;
        result.push(Math.sqrt(sum));
      }
    }
    return result;
  }

  return {
    SIZE,
    SQUARE,
    POSITIONS,
    STD,
    Vae,
    confusion,
    coordinates,
    eigen,
    factorMatrix,
    firstPixels,
    imageProducts,
    normal,
    pairDistances,
    rankCorrelation,
    squaredDistances,
    uniform,
  };
})();

if (typeof module !== "undefined") module.exports = live;
