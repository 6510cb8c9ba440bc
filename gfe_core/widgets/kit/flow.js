/**
 * The kernel's flows, computed in the browser, so that a path changes while its start is dragged.
 *
 * `engine.py` describes a decoder, its loss and a recipe; this file evaluates the same formulas for
 * one sample. The kernel is the reference and this is a preview; a test compares the two. The
 * formulas are explained in energy/losses.py, flows.py and solvers/.
 *
 * A path is a generator of attempts, which `advance` runs for a slice of time.
 */

/** @typedef {"elu" | "tanh" | "relu" | "none"} Activation */

/**
 * @typedef {object} Portable the result of `engine.portable`
 * @property {{inputs: number, outputs: number, activation: Activation}[]} layers the one next to
 *   the code first
 * @property {DataView} weights float32: for each layer its matrix (outputs, inputs), then its bias
 * @property {{name: "bernoulli" | "gaussian", reduction: "mean" | "sum", variance: number | number[]}} loss
 */

/**
 * @typedef {object} SolverRecipe fields of the solver; null stands for infinity and for "not given"
 * @property {"euler" | "rk4" | "semi_implicit" | "restarting" | "amd"} name
 * @property {number | null} [dt] step of a fixed grid, or else `n_steps`
 * @property {number | null} [n_steps]
 * @property {number} [armijo_slope]
 * @property {number} [decrease_factor]
 * @property {number} [increase_factor]
 * @property {number | null} [dt_init]
 * @property {number} [dt_min]
 * @property {number | null} [dt_max]
 * @property {"carry" | "barzilai_borwein"} [trial]
 * @property {number} [memory]
 * @property {number} [trial_min]
 * @property {"current" | "trial"} [slope_at]
 */

/**
 * @typedef {object} Flow
 * @property {number} rate
 * @property {number | null} damping null for a flow without momentum
 * @property {number} eps keeps the friction finite
 */

/** @typedef {{gain_rtol: number, energy_slope: number, grad_norm: number, window: number}} Stop */

/**
 * @typedef {object} Recipe the result of `engine.described`
 * @property {SolverRecipe} solver
 * @property {Flow} flow
 * @property {Stop | null} stop
 * @property {number | null} t1 null if only `stop` and `max_steps` end the path
 * @property {number} max_steps
 */

/**
 * @typedef {object} Attempt
 * @property {Float64Array} z code after the attempt
 * @property {number} energy at z
 * @property {number} dt step that was tried, 0 for the start
 * @property {number} t flow time
 * @property {number} work forward-equivalents so far: a loss counts one, a gradient two
 * @property {boolean} accepted whether the code moved; true for the start
 */

/**
 * @typedef {object} Step the proposal of a rule
 * @property {Float64Array} y proposed state
 * @property {number} dt step that was tried
 * @property {number} dtNext step to remember for the next attempt
 * @property {boolean} accepted
 * @property {number} status
 * @property {number} promise decrease of a full step to first order; 0 if the rule has no model
 * @property {number} work of the attempt, without the gradient at the new point
 * @property {number} [energy] at y, if the last evaluation of the energy was there
 */

/** Why a path ended: the numbers of `types.Status`. */
export const STATUS = {
  RUNNING: 0,
  CONVERGED: 1,
  REACHED_T: 2,
  MAX_STEPS: 3,
  STALLED: 4,
  STEP_TOO_SMALL: 5,
  NON_FINITE: 6,
  FLAT: 7,
};

const GRADIENT = 2; // forward-equivalents
const LANES = 4; // rows of a matrix that are processed together
const FLOAT32_ROUNDING = 2 ** -23;
const TINY = 2 ** -126;
const MEMORY = 3; // windows of the stop rule over which moves are remembered

/** Round a number of rows up to whole lanes. @param {number} n */
const padded = (n) => Math.ceil(n / LANES) * LANES;

/** @param {Float64Array} a @param {Float64Array} b */
function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/**
 * a + scale b.
 *
 * @param {Float64Array} a
 * @param {number} scale
 * @param {Float64Array} b
 */
const plus = (a, scale, b) => a.map((value, i) => value + scale * b[i]);

/** @param {Float64Array} a */
const norm = (a) => Math.sqrt(dot(a, a));

/** A linear layer with its activation. Its rows are padded with zeros to whole lanes. */
class Layer {
  /**
   * @param {Activation} activation
   * @param {Float32Array} weight (outputs, inputs)
   * @param {Float32Array} bias
   */
  constructor(activation, weight, bias) {
    const rows = padded(bias.length);
    this.inputs = weight.length / bias.length;
    this.outputs = bias.length;
    this.activation = activation;
    this.weight = new Float64Array(rows * this.inputs);
    this.weight.set(weight);
    this.bias = new Float64Array(rows);
    this.bias.set(bias);
    this.output = new Float64Array(rows);
    this.pulled = new Float64Array(padded(this.inputs));
  }

  /** Activations of an input. @param {Float64Array} x */
  forward(x) {
    const { weight, bias, output, inputs } = this;
    for (let row = 0, at = 0; row < output.length; row += LANES, at += LANES * inputs) {
      const second = at + inputs;
      const third = second + inputs;
      const fourth = third + inputs;
      let a = bias[row];
      let b = bias[row + 1];
      let c = bias[row + 2];
      let d = bias[row + 3];
      for (let i = 0; i < inputs; i++) {
        const value = x[i];
        a += weight[at + i] * value;
        b += weight[second + i] * value;
        c += weight[third + i] * value;
        d += weight[fourth + i] * value;
      }
      output[row] = a;
      output[row + 1] = b;
      output[row + 2] = c;
      output[row + 3] = d;
    }
    this.activate(output);
    return output;
  }

  /**
   * Return the gradient in the input, given that in the output, which is overwritten.
   *
   * @param {Float64Array} g
   */
  pull(g) {
    this.deactivate(g);
    const { weight, pulled, inputs, output } = this;
    pulled.fill(0);
    for (let row = 0, at = 0; row < output.length; row += LANES, at += LANES * inputs) {
      const second = at + inputs;
      const third = second + inputs;
      const fourth = third + inputs;
      const a = g[row];
      const b = g[row + 1];
      const c = g[row + 2];
      const d = g[row + 3];
      for (let i = 0; i < inputs; i++) {
        pulled[i] +=
          a * weight[at + i] +
          b * weight[second + i] +
          c * weight[third + i] +
          d * weight[fourth + i];
      }
    }
    return pulled;
  }

  /** @param {Float64Array} y */
  activate(y) {
    if (this.activation === "elu") {
      for (let i = 0; i < y.length; i++) if (y[i] < 0) y[i] = Math.expm1(y[i]);
    } else if (this.activation === "tanh") {
      for (let i = 0; i < y.length; i++) y[i] = Math.tanh(y[i]);
    } else if (this.activation === "relu") {
      for (let i = 0; i < y.length; i++) if (y[i] < 0) y[i] = 0;
    }
  }

  /** Multiply by the activation's slope, which follows from its output. @param {Float64Array} g */
  deactivate(g) {
    const y = this.output;
    if (this.activation === "elu") {
      for (let i = 0; i < y.length; i++) if (y[i] < 0) g[i] *= y[i] + 1;
    } else if (this.activation === "tanh") {
      for (let i = 0; i < y.length; i++) g[i] *= 1 - y[i] * y[i];
    } else if (this.activation === "relu") {
      for (let i = 0; i < y.length; i++) if (y[i] <= 0) g[i] = 0;
    }
  }
}

/** E(z) of one sample, its gradient, and the data that a code stands for. */
export class Energy {
  /**
   * @param {Portable} portable decoder and loss
   * @param {ArrayLike<number>} x the sample
   */
  constructor({ layers, weights, loss }, x) {
    const { buffer, byteOffset, byteLength } = weights;
    const numbers = new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
    let from = 0;
    /** @param {number} n */
    const next = (n) => {
      from += n;
      return numbers.subarray(from - n, from);
    };
    this.layers = layers.map(
      ({ inputs, outputs, activation }) =>
        new Layer(activation, next(inputs * outputs), next(outputs)),
    );
    this.latent = layers[0].inputs;
    this.x = Float64Array.from(x);
    this.slope = new Float64Array(padded(this.x.length)); // gradient of the energy in the output
    this.isBernoulli = loss.name === "bernoulli";
    const share = loss.reduction === "mean" ? 1 / this.x.length : 1;
    const variance = loss.variance;
    this.weight = this.x.map((_, i) => {
      const spread = Array.isArray(variance) ? variance[i] : variance;
      return this.isBernoulli ? share : share / (2 * spread);
    });
    this.floor = this.isBernoulli ? this.entropy() : 0;
  }

  /** Energy of a code. @param {Float64Array} z */
  at(z) {
    const y = this.decode(z);
    const { x, slope, weight } = this;
    let energy = 0;
    if (this.isBernoulli) {
      for (let i = 0; i < x.length; i++) {
        const e = Math.exp(-Math.abs(y[i]));
        const p = y[i] < 0 ? e / (1 + e) : 1 / (1 + e);
        energy += weight[i] * (Math.max(y[i], 0) + Math.log1p(e) - x[i] * y[i]);
        slope[i] = weight[i] * (p - x[i]);
      }
    } else {
      for (let i = 0; i < x.length; i++) {
        const gap = y[i] - x[i];
        energy += weight[i] * gap * gap;
        slope[i] = 2 * weight[i] * gap;
      }
    }
    return energy;
  }

  /** Gradient at the code of the last call of `at`. */
  gradient() {
    let g = this.slope.slice();
    for (let k = this.layers.length - 1; k >= 0; k--) g = this.layers[k].pull(g);
    return g.slice(0, this.latent);
  }

  /** Data that a code stands for. @param {Float64Array} z */
  mean(z) {
    const y = this.decode(z).slice(0, this.x.length);
    return this.isBernoulli ? y.map((value) => 1 / (1 + Math.exp(-value))) : y;
  }

  /** Raw output of a code, in a buffer that the next call overwrites. @param {Float64Array} z */
  decode(z) {
    return this.layers.reduce((x, layer) => layer.forward(x), z);
  }

  /** Lowest energy that any decoder can reach for the grey values of x. */
  entropy() {
    /** @param {number} p */
    const part = (p) => (p > 0 ? p * Math.log(p) : 0);
    return this.x.reduce((sum, p, i) => sum - this.weight[i] * (part(p) + part(1 - p)), 0);
  }
}

/** The state of a path between two attempts. */
class State {
  /**
   * @param {Energy} energy
   * @param {Float64Array} z0
   * @param {Recipe} recipe
   * @param {number} rounding
   */
  constructor(energy, z0, { solver, flow, stop }, rounding) {
    this.of = energy;
    this.flow = flow;
    this.rounding = rounding;
    /** @type {Float64Array} */
    this.y = new Float64Array(flow.damping === null ? energy.latent : 2 * energy.latent);
    this.y.set(z0);
    this.t = 0;
    this.dt = 0;
    this.energy = energy.at(z0);
    this.grad = energy.gradient();
    this.work = GRADIENT;
    this.before = { z: this.z, grad: this.grad };
    this.fresh = false; // whether the last attempt was accepted
    this.nAccepted = 0;
    this.nRejected = 0;
    this.status = allFinite(this.energy, this.grad) ? STATUS.RUNNING : STATUS.NON_FINITE;
    this.atMinimum = false;
    this.recent = Array(Math.max(stop ? stop.window + 1 : 1, solver.memory ?? 1)).fill(this.energy);
    /** @type {number[]} inverse curvatures along the last moves */
    this.soft = [];
    this.origin = this.energy;
    if (!stop?.gain_rtol) return;
    this.soft = Array(MEMORY * stop.window).fill(0);
    if (z0.every((value) => value === 0)) return;
    const origin = energy.at(new Float64Array(energy.latent));
    this.work += 1;
    if (Number.isFinite(origin)) this.origin = origin;
  }

  get z() {
    return this.y.slice(0, this.of.latent);
  }

  get v() {
    return this.y.slice(this.of.latent);
  }
}

/** @param {number} energy @param {Float64Array} grad */
const allFinite = (energy, grad) => Number.isFinite(energy) && grad.every(Number.isFinite);

/**
 * Follow a flow from z0: yield the start and every attempt, return the status that ended the path.
 *
 * @param {Energy} energy paths may share it, because no attempt relies on what an earlier one left
 * @param {Float64Array} z0
 * @param {Recipe} recipe
 * @param {number} [rounding] relative rounding of the energies; the kernel's are float32
 * @returns {Generator<Attempt, number, void>}
 */
export function* follow(energy, z0, recipe, rounding = FLOAT32_ROUNDING) {
  const { solver, stop, max_steps } = recipe;
  const propose = RULES[solver.name];
  if (!propose) throw new Error(`no rule for a solver "${solver.name}"`);
  const t1 = recipe.t1 ?? Number.POSITIVE_INFINITY;
  const state = new State(energy, z0, recipe, rounding);
  const isGrid = solver.name !== "amd";
  const grid = isGrid ? gridOf(solver, t1) : null;
  const memory = new Momentum(state);
  if (!isGrid) state.dt = solver.dt_init ?? firstTrial(state) / state.flow.rate;
  yield { z: state.z, energy: state.energy, dt: 0, t: 0, work: state.work, accepted: true };
  for (let attempt = 0; ; attempt++) {
    state.status = judge(state, grid, stop, t1, max_steps);
    if (state.status !== STATUS.RUNNING) return state.status;
    if (grid) state.dt = grid[state.nAccepted];
    const step = propose(state, solver, memory, t1);
    if (attempt === 0 && stop?.gain_rtol) {
      state.atMinimum = step.promise > 0 && step.promise / 2 <= enough(state, stop) / 10;
    }
    const accepted = move(state, step);
    const { z, energy: value, t, work } = state;
    yield { z, energy: value, dt: step.dt, t, work, accepted };
  }
}

/**
 * Advance a generator until the time is up.
 *
 * @template T, R
 * @param {Generator<T, R, void>} path
 * @param {(value: T) => void} take function that gets each yielded value
 * @param {number} milliseconds
 * @returns {IteratorResult<T, R>} the last result: `done` says whether the path has ended
 */
export function advance(path, take, milliseconds) {
  const end = performance.now() + milliseconds;
  let result = path.next();
  while (!result.done) {
    take(result.value);
    if (performance.now() >= end) break;
    result = path.next();
  }
  return result;
}

/**
 * Return the steps of a fixed grid; the last step is cut so that the grid ends at t1.
 *
 * @param {SolverRecipe} solver
 * @param {number} t1
 */
function gridOf({ dt, n_steps }, t1) {
  if (!dt) return Array(n_steps ?? 1).fill(t1 / (n_steps ?? 1));
  const n = Math.max(1, Math.ceil((t1 / dt) * (1 - 1e-12)));
  return [...Array(n - 1).fill(dt), t1 - dt * (n - 1)];
}

/**
 * Move if the step was accepted; the code stays if the energy or gradient there is not finite.
 *
 * @param {State} state
 * @param {Step} step
 */
function move(state, step) {
  const z = state.z;
  state.work += step.work;
  let moved = step.accepted;
  let status = step.status;
  if (step.accepted) {
    const energy = step.energy ?? state.of.at(step.y.slice(0, z.length));
    const grad = state.of.gradient();
    state.work += GRADIENT;
    moved = allFinite(energy, grad);
    if (!moved) status = STATUS.NON_FINITE;
    else {
      state.before = { z, grad: state.grad };
      state.y = step.y;
      state.energy = energy;
      state.grad = grad;
      state.t += step.dt;
      state.recent = [...state.recent.slice(1), energy];
      noteSoftness(state);
    }
  }
  if (moved) state.nAccepted++;
  else state.nRejected++;
  state.dt = step.dtNext;
  state.fresh = step.accepted;
  state.status = status;
  return moved;
}

// Stopping: solvers/stopping.py

/**
 * @param {State} state
 * @param {number[] | null} grid
 * @param {Stop | null} stop
 * @param {number} t1
 * @param {number} maxSteps
 */
function judge(state, grid, stop, t1, maxSteps) {
  const { energy, recent, fresh, nAccepted } = state;
  let given = state.status;
  let status = nAccepted + state.nRejected >= maxSteps ? STATUS.MAX_STEPS : STATUS.RUNNING;
  if (stop) {
    const fall = Math.abs(recent[recent.length - 1 - stop.window] - energy) / stop.window;
    const full = fresh && nAccepted >= stop.window;
    if (full && fall <= stop.energy_slope * Math.abs(energy)) status = STATUS.FLAT;
    if (full && fall === 0) status = STATUS.STALLED;
    const atMinimum = state.atMinimum || littleToGain(state, stop);
    if (atMinimum && given === STATUS.STALLED) given = STATUS.CONVERGED;
    if (atMinimum || norm(state.grad) <= stop.grad_norm) status = STATUS.CONVERGED;
  }
  const isOver = grid
    ? nAccepted >= grid.length || grid[nAccepted] === 0
    : state.t >= t1 * (1 - 1e-6);
  if (isOver) status = STATUS.REACHED_T;
  return given === STATUS.RUNNING ? status : given;
}

/**
 * Return whether the parabola of the last steps predicts almost no further decrease.
 *
 * @param {State} state
 * @param {Stop} stop
 */
function littleToGain(state, stop) {
  if (!stop.gain_rtol) return false;
  const { soft, grad } = state;
  const faded = soft.map((value, k) => {
    const age = soft.length - 1 - k;
    return Number.isFinite(value)
      ? value * 10 ** -(Math.max(age - stop.window + 1, 0) / stop.window)
      : 0;
  });
  const softest = Math.max(...faded);
  const ended = state.status === STATUS.STALLED;
  const steps = soft.slice(ended ? -1 : -stop.window);
  const enoughMoves = state.nAccepted >= (ended ? 2 : Math.max(stop.window, 2));
  const known = enoughMoves && softest > 0 && steps.every(Number.isFinite);
  return known && (softest / 2) * dot(grad, grad) <= enough(state, stop);
}

/**
 * Return the decrease below which there is almost nothing to gain.
 *
 * @param {State} state
 * @param {Stop} stop
 */
function enough({ energy, origin, rounding }, stop) {
  return stop.gain_rtol * Math.abs(origin - energy) + rounding * Math.abs(energy);
}

/** Measure the inverse curvature along the last move. @param {State} state */
function noteSoftness(state) {
  if (!state.soft.length) return;
  const dz = plus(state.z, -1, state.before.z);
  const dg = plus(state.grad, -1, state.before.grad);
  const curvature = dot(dz, dg);
  const noise = Math.sqrt(state.rounding) * norm(dz) * norm(dg);
  const soft = curvature > 0 ? dot(dz, dz) / curvature : Number.POSITIVE_INFINITY;
  state.soft = [...state.soft.slice(1), Math.abs(curvature) > noise ? soft : 0];
}

// Flows: flows.py

/**
 * dy/dt.
 *
 * @param {Flow} flow
 * @param {number} t
 * @param {Float64Array} y
 * @param {Float64Array} grad
 */
function velocity(flow, t, y, grad) {
  const n = grad.length;
  if (flow.damping === null) return grad.map((g) => -flow.rate * g);
  const friction = t > 0 ? flow.damping / (t + flow.eps) : 0;
  const share = t > 0 ? 1 : 1 / (1 + flow.damping);
  const slope = y.slice();
  for (let i = 0; i < n; i++) {
    slope[i] = y[n + i];
    slope[n + i] = -share * flow.rate * grad[i] - friction * y[n + i];
  }
  return slope;
}

// Fixed grids: solvers/runge_kutta.py, solvers/nesterov.py

/**
 * A step that is always accepted.
 *
 * @param {State} state
 * @param {Float64Array} y
 * @param {number} [work]
 * @returns {Step}
 */
function taken({ dt }, y, work = 0) {
  return { y, dt, dtNext: dt, accepted: true, status: STATUS.RUNNING, promise: 0, work };
}

/** @param {State} state */
function euler(state) {
  const { t, y, dt, grad, flow } = state;
  return taken(state, plus(y, dt, velocity(flow, t, y, grad)));
}

/** @param {State} state */
function rk4(state) {
  const { t, y, dt, grad, flow, of: energy } = state;
  /** @param {number} delay @param {Float64Array} at */
  const slope = (delay, at) => {
    energy.at(at.slice(0, grad.length));
    return velocity(flow, t + delay, at, energy.gradient());
  };
  const k1 = velocity(flow, t, y, grad);
  const k2 = slope(dt / 2, plus(y, dt / 2, k1));
  const k3 = slope(dt / 2, plus(y, dt / 2, k2));
  const k4 = slope(dt, plus(y, dt, k3));
  const sum = k1.map((k, i) => k + 2 * k2[i] + 2 * k3[i] + k4[i]);
  return taken(state, plus(y, dt / 6, sum), 3 * GRADIENT);
}

/**
 * Update the velocity first, and then the code with the new velocity.
 *
 * @param {State} state
 * @param {Float64Array} v
 * @param {number} age
 */
function rolled(state, v, age) {
  const { z, dt, grad, flow } = state;
  const friction = (flow.damping ?? 0) / (age + dt + flow.eps);
  const pushed = plus(v, -dt * flow.rate, grad).map((value) => value / (1 + dt * friction));
  return taken(state, joined(plus(z, dt, pushed), pushed));
}

/** @param {State} state */
const semiImplicit = (state) => rolled(state, state.v, state.t);

/**
 * The semi-implicit rule, restarted from rest if the velocity points uphill: momentum_explorer.py.
 *
 * @param {State} state
 * @param {SolverRecipe} _
 * @param {Momentum} memory
 */
function restarting(state, _, memory) {
  let v = state.v;
  if (dot(state.grad, v) > 0) {
    memory.restedAt = state.t;
    v = v.map(() => 0);
  }
  return rolled(state, v, state.t - memory.restedAt);
}

/** @param {Float64Array} z @param {Float64Array} v */
function joined(z, v) {
  const y = new Float64Array(z.length + v.length);
  y.set(z);
  y.set(v, z.length);
  return y;
}

// AMD: solvers/amd.py, solvers/line_search.py

/** The memory of methods with momentum. */
class Momentum {
  /** @param {State} state */
  constructor(state) {
    /** @type {Float64Array} */
    this.x = state.z; // the point descended to last
    /** @type {Float64Array} */
    this.xNew = state.z;
    this.age = 0; // steps since the last restart
    this.ageNew = 0;
    this.restedAt = 0;
  }

  /**
   * Return the state ahead of a descent point.
   *
   * @param {State} state
   * @param {Float64Array} x
   * @param {number} dt
   */
  ahead(state, x, dt) {
    if (state.fresh) {
      this.x = this.xNew;
      this.age = this.ageNew;
    }
    const step = plus(x, -1, this.x);
    this.xNew = x;
    this.ageNew = dot(state.grad, step) > 0 ? 0 : this.age + 1;
    const kept = this.ageNew / (this.ageNew + (state.flow.damping ?? 0));
    const lead = step.map((value) => kept * value);
    return joined(
      plus(x, 1, lead),
      lead.map((value) => value / Math.sqrt(dt)),
    );
  }
}

/**
 * One trial.
 *
 * @param {State} state
 * @param {SolverRecipe} solver
 * @param {Momentum} memory
 * @param {number} t1
 * @returns {Step}
 */
function amd(state, solver, memory, t1) {
  const { grad, flow, rounding, of: energy } = state;
  const isSecond = flow.damping !== null;
  const longest = solver.dt_max ?? Number.POSITIVE_INFINITY;
  const first = state.fresh ? newTrial(state, solver) : state.dt;
  let dt = Math.min(Math.max(first, solver.dt_min ?? 0), longest);
  if (solver.trial === "carry") dt = Math.min(dt, (t1 - state.t) ** (isSecond ? 2 : 1));
  const z = plus(state.z, -dt * flow.rate, grad);
  const value = energy.at(z);
  const decrease = dt * flow.rate * dot(grad, grad);
  const atTrial = solver.slope_at === "trial" ? energy.gradient() : null;
  const promised = atTrial ? dt * flow.rate * dot(atTrial, atTrial) : decrease;
  const slope = solver.armijo_slope ?? 0;
  const demanded = (isSecond ? Math.max(slope, 0.5) : slope) * promised;
  const accepted = fallsEnough(state, value, demanded, solver.memory ?? 1);
  const shrunk = accepted ? 1 : (solver.decrease_factor ?? 0.5);
  const dtNext = dt * shrunk;
  let status = STATUS.RUNNING;
  if (!accepted && dtNext < (solver.dt_min ?? 0)) status = STATUS.STEP_TOO_SMALL;
  if (!accepted && decrease * shrunk <= rounding * Math.abs(state.energy)) status = STATUS.STALLED;
  const trial = { dtNext, accepted, status, promise: decrease };
  if (isSecond) return { ...trial, y: memory.ahead(state, z, dt), dt: Math.sqrt(dt), work: 1 };
  const refused = atTrial ? GRADIENT : 1;
  return { ...trial, y: z, dt, energy: value, work: accepted ? 0 : refused };
}

/**
 * Armijo's test.
 *
 * @param {State} state
 * @param {number} value
 * @param {number} demanded
 * @param {number} memory
 */
function fallsEnough({ recent, rounding }, value, demanded, memory) {
  const reference = Math.max(...recent.slice(-memory));
  const slack = 2 * rounding * Math.abs(reference);
  return value <= reference && reference - value >= demanded - slack;
}

/**
 * The first trial after an accepted step.
 *
 * @param {State} state
 * @param {SolverRecipe} solver
 */
function newTrial(state, solver) {
  const carried = state.dt * (solver.increase_factor ?? 2);
  if (solver.trial === "carry") return Math.max(carried, solver.trial_min ?? 0);
  const dz = plus(state.z, -1, state.before.z);
  const dg = plus(state.grad, -1, state.before.grad);
  const curvature = dot(dz, dg);
  return curvature > 0 ? curvature / dot(dg, dg) / state.flow.rate : carried;
}

/**
 * Return the inverse curvature along the first gradient, over a tenth of Polyak's step.
 *
 * @param {State} state
 */
function firstTrial(state) {
  const polyak = polyakStep(state);
  const dz = state.grad.map((g) => -0.1 * polyak * g);
  state.of.at(plus(state.z, 1, dz));
  const curvature = dot(dz, plus(state.of.gradient(), -1, state.grad));
  state.work += GRADIENT;
  return curvature > 0 ? dot(dz, dz) / curvature : polyak;
}

/** Step at which the tangent of the energy reaches the floor of the loss. @param {State} state */
function polyakStep({ energy, grad, rounding, z, of }) {
  const length = Math.max(norm(grad), TINY);
  const height = Math.max(Math.abs(energy - of.floor), rounding * Math.abs(energy)) || rounding;
  return Math.min(height / length, norm(z) || Number.POSITIVE_INFINITY) / length;
}

/** @type {Record<string, (state: State, solver: SolverRecipe, memory: Momentum, t1: number) => Step>} */
const RULES = { euler, rk4, semi_implicit: semiImplicit, restarting, amd };
