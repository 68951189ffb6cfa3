# Configuration of a MatMul-free language model (Zhu et al., "Scalable MatMul-free Language Modeling",
# arXiv 2406.02528) for transformers. tern writes this file into the Hugging Face folders that it exports.
# Licensed under the Apache License, Version 2.0.
from transformers import PretrainedConfig


class HGRNBitConfig(PretrainedConfig):
    """The keys of config.json, as in the released checkpoints, and `quantize`: "ternary", or "none" for the
    control model in which every quantiser is the identity."""

    model_type = "hgrn_bit"
    keys_to_ignore_at_inference = ["past_key_values", "cache"]

    def __init__(
        self,
        vocab_size=32000,
        hidden_size=2048,
        num_hidden_layers=24,
        num_heads=1,
        expand_ratio=1,
        use_short_conv=False,
        conv_size=4,
        share_conv_kernel=True,
        use_lower_bound=True,
        hidden_ratio=4,
        intermediate_size=None,
        hidden_act="swish",
        max_position_embeddings=2048,
        rms_norm_eps=1e-6,
        initializer_range=0.02,
        fuse_cross_entropy=True,
        use_cache=True,
        quantize="ternary",
        pad_token_id=None,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
        **kwargs,
    ):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_heads = num_heads
        self.expand_ratio = expand_ratio
        self.use_short_conv = use_short_conv
        self.conv_size = conv_size
        self.share_conv_kernel = share_conv_kernel
        self.use_lower_bound = use_lower_bound
        self.hidden_ratio = hidden_ratio
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.max_position_embeddings = max_position_embeddings  # of training; the model itself has no limit
        self.rms_norm_eps = rms_norm_eps
        self.initializer_range = initializer_range
        self.fuse_cross_entropy = fuse_cross_entropy  # a choice of kernels elsewhere; no effect here
        self.use_cache = use_cache
        self.quantize = quantize
        self._require("num_heads", num_heads, (1,))
        self._require("expand_ratio", expand_ratio, (1,))
        self._require("use_short_conv", use_short_conv, (False,))
        self._require("hidden_act", hidden_act, ("swish", "silu"))
        self._require("quantize", quantize, ("ternary", "none"))
        self._require("tie_word_embeddings", tie_word_embeddings, (False,))
        super().__init__(
            pad_token_id=pad_token_id,
            bos_token_id=bos_token_id,
            eos_token_id=eos_token_id,
            tie_word_embeddings=tie_word_embeddings,
            **kwargs,
        )

    @staticmethod
    def _require(key, value, known):
        if value not in known:
            expected = " or ".join(repr(k) for k in known)
            raise ValueError(f"config.json: {key}: expected {expected}, got {value!r}: this code computes no other")

    @property
    def glu_width(self):
        """H: intermediate_size, or 2/3 hidden_ratio hidden_size rounded up to a multiple of 256."""
        if self.intermediate_size:
            return self.intermediate_size
        return (2 * self.hidden_ratio * self.hidden_size // 3 + 255) // 256 * 256
