// The slider that chooses a sample.

export const SAMPLE_MARKUP = `<label class="which">sample <input type="range" class="sample" min="0"
step="1" aria-label="sample"><output class="which-sample"></output></label>`;

export class SampleSlider {
  #view;

  /** @param {import("../kit/base.js").View<any>} view with the trait `n_samples` and SAMPLE_MARKUP */
  constructor(view) {
    this.#view = view;
    this.input = view.find(".sample", HTMLInputElement);
    view.listen(this.input, "input", () => this.#say());
  }

  get chosen() {
    return Number(this.input.value);
  }

  /** @param {number} sample */
  show(sample) {
    this.input.max = String(this.#view.model.get("n_samples") - 1);
    this.input.value = String(sample);
    this.#say();
  }

  #say() {
    this.input.ariaValueText = this.input.value;
    this.#view.write(".which-sample", this.input.value);
  }
}
