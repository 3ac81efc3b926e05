"""What happens on the page, without a browser: the handlers with the bundled model on small pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.masks import dilate
from mlx_moebius.ui.desk import Desk
from mlx_moebius.ui.handlers import MAX_SEEDS, Finished, Handlers, Options
from mlx_moebius.ui.jobs import PREVIEW, Cancelled, Progress
from mlx_moebius.ui.session import Fill, Session, data_url, read_data_url
from tests.support.pictures import picture, saved

WIDTH, HEIGHT = 83, 61
PHOTOS = Path(__file__).parents[2] / "examples" / "windows"
QUICK = Options("nano", steps=4)


@pytest.fixture(scope="module")
def handlers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Handlers]:
    """One for all tests, since its worker never ends; no other model is on this computer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLX_MOEBIUS_HOME", str(tmp_path_factory.mktemp("no_models")))
        yield Handlers(Desk(tmp_path_factory.mktemp("desk")))


@pytest.fixture
def session(handlers: Handlers, tmp_path: Path) -> Iterator[Session]:
    """A new visitor's."""
    yield handlers.desk.session(str(tmp_path))
    handlers.desk.leave(str(tmp_path))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return saved(tmp_path / "beach.png", picture("RGB", WIDTH, HEIGHT))


def hole(left: int = 30, top: int = 20, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """A mask: 12 by 10 pixels."""
    mask = np.zeros((height, width), np.uint8)
    mask[top : top + 10, left : left + 12] = 255
    return Image.fromarray(mask)


PAINTED = data_url(hole(), "png")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def finished(events: Iterator[Progress | Finished]) -> tuple[Fill, ...]:
    """The fills that a run ends with."""
    *_, last = events
    assert isinstance(last, Finished)
    return last.fills


def test_opening_shows_the_photo(handlers: Handlers, session: Session, photo: Path) -> None:
    painting = handlers.open(session, str(photo))
    assert painting is not None
    assert painting.picture.startswith("data:image/webp;base64,")
    assert [version.size for version in painting.versions] == [(WIDTH, HEIGHT)]
    assert (painting.current, painting.notes) == (0, ())


def test_a_large_photo_is_shown_reduced(handlers: Handlers, session: Session, tmp_path: Path) -> None:
    large = saved(tmp_path / "large.png", Image.new("L", (2 * PREVIEW, 64), 90))
    painting = handlers.open(session, str(large))
    assert painting is not None
    assert painting.versions[0].size == (PREVIEW, 32)
    assert session.photo.width == 2 * PREVIEW


def test_notes_on_a_photo_name_the_file_without_its_folder(
    handlers: Handlers, session: Session, tmp_path: Path
) -> None:
    phone = tmp_path / "phone.jpg"
    picture("RGB").save(phone, "MPO", save_all=True, append_images=[picture("RGB", 32, 24)])
    painting = handlers.open(session, str(phone))
    assert painting is not None
    assert painting.notes == ("phone.jpg holds 2 pictures; only the main one is kept",)


def test_taking_the_file_away_changes_nothing(handlers: Handlers, session: Session, photo: Path) -> None:
    handlers.open(session, str(photo))
    before = session.photo
    assert handlers.open(session, None) is None
    assert session.photo is before


def test_what_is_not_a_photo_is_one_line_and_the_photo_before_stays(
    handlers: Handlers, session: Session, photo: Path, tmp_path: Path
) -> None:
    handlers.open(session, str(photo))
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    for path in (text, tmp_path / "missing.png"):
        with pytest.raises(MoebiusError, match=rf"^{path.name}[^\n]*$") as raised:
            handlers.open(session, str(path))
        assert str(tmp_path) not in str(raised.value)
    assert session.name == "beach.png"


def test_a_mask_file_is_shown_and_saved_as_it_was(
    handlers: Handlers, session: Session, photo: Path, tmp_path: Path
) -> None:
    handlers.open(session, str(photo))
    loaded = handlers.open_mask(session, str(saved(tmp_path / "mask.png", hole())))
    assert np.array_equal(np.asarray(read_data_url(loaded.picture)), np.asarray(hole()))
    assert loaded.warnings == ()
    file = handlers.save_mask(session, loaded.picture)
    assert file.name == "beach_mask.png"
    assert np.array_equal(pixels(file), np.asarray(hole()))


def test_masks_that_cannot_be_used_say_why(handlers: Handlers, session: Session, photo: Path, tmp_path: Path) -> None:
    mask = saved(tmp_path / "mask.png", hole())
    with pytest.raises(MoebiusError, match=r"^there is no photo yet: load one first$"):
        handlers.open_mask(session, str(mask))
    handlers.open(session, str(photo))
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    with pytest.raises(MoebiusError, match=r"^text\.png is not a[^\n]*$"):
        handlers.open_mask(session, str(text))
    with pytest.raises(MoebiusError, match=r"^nothing is painted"):
        handlers.save_mask(session, "")
    with pytest.raises(MoebiusError, match=r"^the painting belongs to another photo"):
        handlers.save_mask(session, data_url(hole(width=50), "png"))


def test_a_run_reports_every_step_and_fills_what_is_painted(handlers: Handlers, session: Session, photo: Path) -> None:
    handlers.open(session, str(photo))
    events = list(handlers.run(session, PAINTED, QUICK))
    steps = [event for event in events if isinstance(event, Progress)]
    assert [step.done for step in steps] == list(range(len(steps)))
    assert {step.total for step in steps[1:]} == {steps[-1].done}
    live = [step.picture for step in steps if step.picture is not None]
    assert live
    assert {one.size for one in live} == {(WIDTH, HEIGHT)}
    (fill,) = finished(iter(events))
    assert (fill.file.name, fill.seed) == ("beach_filled.png", 0)
    before, after = pixels(photo), pixels(fill.file)
    wanted = np.asarray(hole()) > 0
    changed = (before != after).any(-1)
    assert changed[wanted].mean() > 0.9
    assert not changed[~dilate(wanted, 25)].any()
    assert np.array_equal(np.asarray(fill.picture), after)
    assert np.array_equal(np.asarray(fill.before), before)


def test_other_programs_get_what_the_page_gets(
    handlers: Handlers, session: Session, photo: Path, tmp_path: Path
) -> None:
    handlers.open(session, str(photo))
    (fill,) = finished(handlers.run(session, PAINTED, replace(QUICK, seed=3.0)))
    mask = saved(tmp_path / "mask.png", hole())
    file = Path(handlers.fill(str(photo), str(mask), 3, 4, 0, "auto", 2, "nano"))
    assert file.name == "beach_filled.png"
    assert file.read_bytes() == fill.file.read_bytes()


def test_other_programs_get_errors_without_folders(handlers: Handlers, photo: Path, tmp_path: Path) -> None:
    mask = saved(tmp_path / "mask.png", hole(width=50))
    more = (0, 4, 0, "auto", 2, "nano")
    for arguments, error in (
        (("", str(mask), *more), "^give a photo and a mask$"),
        ((str(photo), "", *more), "^give a photo and a mask$"),
        ((str(tmp_path / "none.png"), str(mask), *more), r"^none\.png[^\n]*$"),
        ((str(photo), str(tmp_path / "none.png"), *more), r"^none\.png[^\n]*$"),
        ((str(photo), str(mask), 0, 201, 0, "auto", 2, "nano"), "^steps must be 1 to 200$"),
    ):
        with pytest.raises(MoebiusError, match=error) as raised:
            handlers.fill(*arguments)
        assert str(tmp_path) not in str(raised.value)


def test_a_seed_is_chosen_and_gone_on_with(handlers: Handlers, session: Session, photo: Path) -> None:
    handlers.open(session, str(photo))
    first, second = finished(handlers.run(session, PAINTED, replace(QUICK, seed=5, count=2)))
    assert (first.seed, second.seed) == (5, 6)
    assert first.file.read_bytes() != second.file.read_bytes()
    assert handlers.choose(session, 1) is second
    chosen = pixels(second.file)  # the next run removes the files of this one
    painting = handlers.go_on(session)
    assert painting.current == 1
    for version, expected in zip(painting.versions, (pixels(photo), chosen), strict=True):
        assert np.array_equal(np.asarray(version), expected)
    (third,) = finished(handlers.run(session, data_url(hole(5, 5), "png"), QUICK))
    untouched = ~dilate(np.asarray(hole(5, 5)) > 0, 25)
    assert np.array_equal(pixels(third.file)[untouched], chosen[untouched])
    assert not np.array_equal(pixels(third.file), chosen)
    assert not second.file.exists()


def test_going_on_from_an_older_version_drops_the_later(handlers: Handlers, session: Session, photo: Path) -> None:
    handlers.open(session, str(photo))
    for seed in (1, 2):
        finished(handlers.run(session, PAINTED, replace(QUICK, seed=seed)))
        handlers.go_on(session)
    painting = handlers.go_to(session, 0)
    assert (len(painting.versions), painting.current) == (3, 0)
    assert np.array_equal(session.photo.pixels, pixels(photo))
    (fill,) = finished(handlers.run(session, PAINTED, replace(QUICK, seed=3)))
    painting = handlers.go_on(session)
    assert (len(painting.versions), painting.current) == (2, 1)
    assert np.array_equal(session.photo.pixels, pixels(fill.file))


def test_there_is_nothing_to_go_on_with_before_a_run(handlers: Handlers, session: Session, photo: Path) -> None:
    handlers.open(session, str(photo))
    with pytest.raises(MoebiusError, match=r"^there is no result yet"):
        handlers.go_on(session)


def test_the_frame_is_extended_without_painting(handlers: Handlers, session: Session, photo: Path) -> None:
    handlers.open(session, str(photo))
    (fill,) = finished(handlers.run(session, "", replace(QUICK, extend=" left=10, bottom=10% ")))
    after = pixels(fill.file)
    assert after.shape == (HEIGHT + 6, WIDTH + 10, 3)
    assert np.array_equal(after[:HEIGHT, 10:], pixels(photo))
    assert fill.before.size == fill.picture.size == (WIDTH + 10, HEIGHT + 6)


@pytest.mark.parametrize(
    ("painted", "change", "error"),
    [
        ("", {}, "nothing is painted: paint over what should go"),
        ("data:image/png;base64,AAAA", {}, "nothing is painted: paint over what should go"),
        (PAINTED, {"steps": 201}, "steps must be 1 to 200"),
        (PAINTED, {"model": "celebahq"}, "python -m mlx_moebius.models download celebahq"),
        ("", {"extend": "left"}, '"left" is not like left=256,top=10%'),
        ("", {"extend": "left=10", "count": 2}, "set How many to 1"),
    ],
)
def test_a_run_that_cannot_be_is_one_line(
    handlers: Handlers, session: Session, photo: Path, painted: str, change: dict[str, object], error: str
) -> None:
    handlers.open(session, str(photo))
    with pytest.raises(MoebiusError) as raised:
        list(handlers.run(session, painted, replace(QUICK, **change)))  # type: ignore[arg-type]
    assert error in str(raised.value)
    assert "\n" not in str(raised.value)
    assert session.fills == []


def test_cancelling_ends_the_run_and_the_next_one_starts(handlers: Handlers, session: Session, photo: Path) -> None:
    handlers.open(session, str(photo))
    steps = []
    with pytest.raises(Cancelled):  # noqa: PT012
        for event in handlers.run(session, PAINTED, replace(QUICK, steps=200)):
            assert isinstance(event, Progress)
            steps.append(event)
            if event.done == 1:
                handlers.cancel(session)
    assert steps[-1].done < steps[-1].total
    assert session.fills == []
    assert len(finished(handlers.run(session, PAINTED, QUICK))) == 1


def test_cancelling_before_its_turn(handlers: Handlers, session: Session, photo: Path) -> None:
    handlers.open(session, str(photo))
    events = handlers.run(session, PAINTED, QUICK)
    assert next(events) == Progress(0, 1, None)
    handlers.cancel(session)
    with pytest.raises(Cancelled):
        next(events)


def test_another_visitor_cancels_only_their_own(handlers: Handlers, session: Session, photo: Path) -> None:
    handlers.open(session, str(photo))
    events = handlers.run(session, PAINTED, QUICK)
    next(events)
    handlers.cancel(handlers.desk.session("another"))
    assert len(finished(events)) == 1
    handlers.desk.leave("another")


def test_opening_another_photo_ends_the_run(handlers: Handlers, session: Session, photo: Path, tmp_path: Path) -> None:
    handlers.open(session, str(photo))
    events = handlers.run(session, PAINTED, replace(QUICK, steps=200))
    next(events)
    handlers.open(session, str(saved(tmp_path / "other.png", picture("L"))))
    with pytest.raises(Cancelled):
        list(events)


def test_closing_the_run_ends_its_work(handlers: Handlers, session: Session, photo: Path) -> None:
    """As Gradio does when the tab is closed."""
    handlers.open(session, str(photo))
    events = handlers.run(session, PAINTED, replace(QUICK, steps=200))
    while next(events) == Progress(0, 1, None):
        pass
    events.close()  # type: ignore[attr-defined]
    assert session.stopped is not None
    assert session.stopped.is_set()
    assert handlers.desk.worker.submit(lambda: "free").result(timeout=60) == "free"


def test_leaving_removes_the_files(handlers: Handlers, photo: Path) -> None:
    session = handlers.desk.session("guest")
    assert handlers.desk.session("guest") is session
    handlers.open(session, str(photo))
    (fill,) = finished(handlers.run(session, PAINTED, QUICK))
    handlers.desk.leave("guest")
    assert not fill.file.exists()
    assert not session.folder.exists()
    handlers.desk.leave("guest")  # a tab may close twice
    assert handlers.desk.session("guest") is not session
    handlers.desk.leave("guest")


def test_detail_is_grown_unless_the_page_says_otherwise(handlers: Handlers, session: Session, tmp_path: Path) -> None:
    with Image.open(PHOTOS / "sand.jpg") as sand:
        handlers.open(session, str(saved(tmp_path / "sand.png", sand.crop((0, 0, 400, 300)))))
    painted = np.zeros((300, 400), np.uint8)
    painted[100:200, 150:250] = 255
    sharpness = {}
    for detail in (True, False):
        options = replace(QUICK, detail=detail)
        (fill,) = finished(handlers.run(session, data_url(Image.fromarray(painted), "png"), options))
        inside = pixels(fill.file)[110:190, 160:240].astype(float)
        sharpness[detail] = np.abs(np.diff(inside, axis=1)).mean()
    assert sharpness[True] > 3 * sharpness[False]


def test_a_model_brings_its_defaults(handlers: Handlers) -> None:
    steps, guidance = handlers.defaults("nano")
    assert isinstance(steps, int)
    assert steps >= 1
    assert guidance >= 1
    with pytest.raises(MoebiusError, match=r"python -m mlx_moebius\.models download places2"):
        handlers.defaults("places2")


def test_options_as_controls_give_them() -> None:
    options = Options("nano", 20.0, 0, "9", 1, 4.0, 99.0)
    assert options.changes() == {"num_steps": 20, "guidance_scale": None, "dilate": 9, "context": 1.0, "detail": True}
    assert options.seeds() == list(range(4, 4 + MAX_SEEDS))
