import pytest
import torch

from nst import Parameters, PreparedPair, Style, Stylizer, images
from nst.vgg import VGG19
from tests.conftest import make_picture
from tests.nst.pairs import prepared


def test_the_targets_of_a_style_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stylizer, calls = Stylizer(device="cpu", dtype="fp32"), list[bool]()
    forward = VGG19.forward

    def counted(self: VGG19, image: torch.Tensor, *rest: object) -> object:
        calls.append(torch.is_grad_enabled())
        return forward(self, image, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(VGG19, "forward", counted)
    stylizer.run([prepared(1)])
    first = len(calls)
    stylizer.run([prepared(3)])
    # Twenty evaluations and the deepest layer once, two starts, the content's targets and the delivered loss;
    # the style's only once.
    assert calls.count(True) == 42
    assert len(calls) - first == first - 1 == 25


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("exact", [False, True])
def test_a_style_has_no_style_error_against_itself(dtype: str, exact: bool) -> None:
    picture = make_picture(64, 64, seed=2)
    pair = PreparedPair.prepare(images.Picture(picture), [(Style(picture), 1.0)], Parameters(max_size=64))
    objective = Stylizer(device="cpu", dtype=dtype).targets.objective([pair], 0, exact)
    assert objective(images.to_tensor(picture)[None]).style.item() == pytest.approx(0, abs=1e-15)
