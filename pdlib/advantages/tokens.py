"""From the advantages of rollouts to those of tokens."""

import torch


def per_token(
    response: torch.Tensor, prefix: torch.Tensor, prefix_lengths: torch.Tensor, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Advantages of tokens (rows, T) from those of rollouts (rows,), and the mask of the prefix.

    `prefix` goes on each row's first `prefix_lengths` tokens, `response` on those after; the mask
    (rows, T) is True on the prefix.

    >>> per_token(torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([1]), 3)[0]
    tensor([[2., 1., 1.]])
    """
    is_prefix = torch.arange(width, device=prefix_lengths.device) < prefix_lengths.unsqueeze(1)
    return torch.where(is_prefix, prefix.unsqueeze(1), response.unsqueeze(1)), is_prefix
