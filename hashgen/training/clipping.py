"""A step of Adam on gradients that are clipped on the way."""

import torch


def step_clipped(optimiser: torch.optim.Adam, most: float | None) -> None:
    """A step of a fused optimiser, all gradients scaled down together where their norm is over `most`.

    As `clip_grad_norm_` and a step, but the gradients are not written once more: the optimiser divides by `grad_scale`
    while it reads them, as it does for torch's GradScaler.
    """
    if most is not None:
        gradients = [p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        scale = ((norm + 1e-6) / most).clamp(min=1.0).float()  # 1e-6 as there
        vars(optimiser).update(grad_scale=scale, found_inf=torch.zeros_like(scale))
    optimiser.step()
