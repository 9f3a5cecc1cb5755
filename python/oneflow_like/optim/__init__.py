"""Optimizers, with torch's names and arithmetic; nn.Graph compiles their updates."""

from .._absent import getter as _getter
from .._constructors import explain as _explain
from . import lr_scheduler
from .adam import Adam, AdamW
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["lr_scheduler", "Adam", "AdamW", "Optimizer", "SGD"]
_explain(Adam, AdamW, SGD, lr_scheduler.StepLR, lr_scheduler.CosineAnnealingLR,
         lr_scheduler.LambdaLR)
__getattr__ = _getter("optim", globals())
