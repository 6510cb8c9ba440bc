"""Progress shows a training without holding it up, and says how to stop it."""

import base64
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import gfe_core as gfe
from gfe_core.training.fitting import History, Report
from gfe_core.widgets.training import progress as module
from gfe_core.widgets.training.progress import Progress

NOISE = torch.randint(
    256, (280, 280), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
).numpy()


class FakeComm:
    """Keeps what a widget sends."""

    sent: list[dict[str, Any]]
    comm_id = "fake"

    def __init__(self) -> None:
        self.sent = []

    def on_msg(self, _: Any) -> None: ...

    def close(self) -> None: ...

    def send(self, data: dict[str, Any], buffers: list[Any] | None = None) -> None:
        self.sent.append(data | {"buffers": [len(buffer) for buffer in buffers or []]})


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture(scope="module")
def template() -> Report:
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=4)
    x = torch.full((1, 4), 0.5)
    return Report(1, 1, 1, 1, 0.5, 1.0, decoder, x, gfe.encode(decoder, x), History())


def at(template: Report, step: int, n_steps: int = 1000, energy: float = 0.25) -> Report:
    history = History(step=[step], images=[32 * step], energy=[1 / (k + 1) for k in range(step)])
    return replace(
        template, step=step, n_steps=n_steps, energy=energy, seconds=step / 100, history=history
    )


def listen(progress: Progress) -> FakeComm:
    comm = FakeComm()
    for widget in (*progress.widget.children, progress.widget):
        widget.comm = comm
    return comm


def percent(progress: Progress) -> int:
    return int(progress.page.value.split('data-percent="')[1].split('"')[0])


def test_updates_come_at_most_five_times_a_second(template: Report, clock: Clock):
    progress = Progress("throttled")
    comm = listen(progress)
    for step in range(1, 501):  # five seconds
        clock.now += 0.01
        progress(at(template, step))
    pages = [data for data in comm.sent if "value" in data["state"]]
    assert 20 <= len(pages) <= 26  # every 0.2 s, to within a step, and the first


def test_update_takes_at_most_four_messages_and_twenty_kilobytes(template: Report, clock: Clock):
    progress = Progress("light", preview=lambda _: NOISE)  # noise: the picture that packs worst
    comm = listen(progress)
    for step in (1, 400, 800, 1000):
        clock.now += 1
        comm.sent.clear()
        progress(at(template, step))
        size = sum(len(json.dumps(data)) + sum(data["buffers"]) for data in comm.sent)
        assert 1 <= len(comm.sent) <= 4 and size <= 20_000


def test_first_and_last_report_are_shown_without_waiting(template: Report, clock: Clock):
    progress = Progress("ends")
    progress(at(template, 1, n_steps=4))
    assert "step 1 of 4" in progress.page.value
    progress(at(template, 2, n_steps=4))
    assert "step 1 of 4" in progress.page.value
    progress(at(template, 4, n_steps=4))
    assert (
        "step 4 of 4" in progress.page.value
        and "done" in progress.page.value
        and percent(progress) == 100
    )


def test_line_says_energy_speed_and_time_left(template: Report, clock: Clock):
    progress = Progress("words")
    progress(at(template, 100, energy=0.24681))
    for words in (
        "step 100 of 1,000",
        "epoch 1 of 1",
        "energy 0.2468 nats per pixel",
        "3,200 images/s",
        "9 s left",
    ):
        assert words in progress.page.value
    assert percent(progress) == 10
    bits = Progress("unit", unit="bits")
    bits(at(template, 1))
    assert "energy 0.2500 bits" in bits.page.value


@pytest.mark.parametrize(
    ("n_steps", "left"), [(1000, "10 s left"), (60_000, "10 min left"), (1_000_000, "2.8 h left")]
)
def test_time_left_is_in_a_unit_one_can_feel(template: Report, n_steps: int, left: str):
    progress = Progress("time")
    progress(at(template, 1, n_steps=n_steps))
    assert left in progress.page.value


def test_time_left_goes_by_the_rounds_of_this_call_alone(template: Report):
    progress = Progress("continued")
    report = at(template, 50, n_steps=100)
    seconds = [1000.0 + 0.1 * i for i in range(70)]  # twenty rounds before this call
    report.history.seconds = seconds
    progress(replace(report, seconds=seconds[-1]))
    assert "5 s left" in progress.page.value


def test_curve_has_at_most_a_hundred_points_and_falls_with_the_energy(
    template: Report, clock: Clock
):
    progress = Progress("curve")
    progress(at(template, 777))
    points = progress.page.value.split('points="')[1].split('"')[0].split()
    heights = [float(point.split(",")[1]) for point in points]
    assert len(points) == 100
    assert heights == sorted(heights)  # downwards on a screen
    assert 0 <= heights[0] < heights[-1] <= 48


def test_energies_that_are_not_finite_leave_the_rest_of_the_curve(template: Report):
    progress = Progress("broken")
    report = at(template, 4, energy=float("nan"))
    report.history.energy[:] = [1.0, float("inf"), 0.5, float("nan")]
    progress(report)
    assert "energy nan" in progress.page.value and 'points="0,1.0 400,47.0"' in progress.page.value


def test_a_running_training_says_how_to_stop_it(template: Report, clock: Clock):
    progress = Progress("stop")
    how = "interrupt the kernel"
    assert how not in progress.page.value
    progress(at(template, 1))
    assert how in progress.page.value
    progress(at(template, 2, n_steps=2))
    assert how not in progress.page.value and "done" in progress.page.value


def test_an_interrupt_ends_fit_and_keeps_what_was_learnt():
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=64)

    def press(report: Report) -> None:
        if report.step == 3:
            raise KeyboardInterrupt

    batches = gfe.data.Batches(gfe.data.load("digits").take(64).x, size=8)
    history = gfe.fit(decoder, batches, epochs=2, callbacks=[Progress("fit"), press])
    assert history.interrupted and len(history.step) == 3


def shown(progress: Progress) -> Image.Image:
    return Image.open(
        io.BytesIO(base64.b64decode(progress.page.value.split("base64,")[1].split('"')[0]))
    )


@pytest.mark.parametrize("convert", [torch.tensor, np.asarray, Image.fromarray])
def test_preview_is_shown_in_its_own_pixels(template: Report, convert: Any):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    progress = Progress("picture", preview=lambda _: convert(grey))
    progress(at(template, 1))
    assert np.array_equal(np.asarray(shown(progress)), grey)
    assert 'width="320" height="320"' in progress.page.value and "pixelated" in progress.page.value


@pytest.mark.parametrize(
    ("preview", "told"),
    [
        (lambda _: 1 / 0, "Preview failed: ZeroDivisionError"),
        (lambda _: np.zeros((8, 8)), "Preview failed: TypeError: it must be a PIL image or uint8"),
        (lambda _: np.zeros((0, 8), np.uint8), "Preview failed"),
        (lambda _: None, "Preview failed: TypeError"),
    ],
)
def test_broken_preview_is_a_line_of_text_and_training_goes_on(
    template: Report, preview: Any, told: str
):
    progress = Progress("oops", preview=preview)
    assert not progress(at(template, 1))
    assert told in progress.page.value and "step 1 of" in progress.page.value


def test_preview_records_no_gradient(template: Report):
    modes: list[bool] = []
    progress = Progress("grad", preview=lambda _: modes.append(torch.is_grad_enabled()))
    progress(at(template, 1))
    assert modes == [False] and torch.is_grad_enabled()


def test_saved_output_is_constant_and_has_no_picture(template: Report):
    progress = Progress("saved", preview=lambda _: NOISE)
    before = progress._repr_mimebundle_()
    progress(at(template, 1))
    assert progress._repr_mimebundle_() == before
    assert before.keys() == {"text/plain", "application/vnd.jupyter.widget-view+json"}
    assert before["text/plain"] == "Progress('saved')"


def test_new_progress_of_the_same_title_closes_the_earlier():
    first = Progress("again")
    second = Progress("again")
    assert first.widget.comm is None and first.page.comm is None and second.widget.comm is not None


def test_more_than_five_updates_a_second_are_refused():
    with pytest.raises(ValueError, match=r"`every` must be at least 0.2 seconds"):
        Progress("fast", every=0.1)
