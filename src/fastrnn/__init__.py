"""fastrnn: fused recurrent networks for the CPU."""

from fastrnn._functions import (
    gru_backward,
    gru_forward,
    lstm_backward,
    lstm_forward,
    rnn_backward,
    rnn_forward,
)
from fastrnn._core import set_num_threads, get_num_threads, isa, available_isas
