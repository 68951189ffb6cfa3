# A MatMul-free language model in plain PyTorch (Zhu et al., "Scalable MatMul-free Language Modeling",
# arXiv 2406.02528): ternary weights, int8 activations, a gated linear recurrence (MLGRU) instead of attention.
# tern writes this file into the Hugging Face folders that it exports; the arithmetic is that of tern's kernels.
# Licensed under the Apache License, Version 2.0.
import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from .configuration_hgrn_bit import HGRNBitConfig

# Late versions of transformers 5 renamed this field of outputs.
CACHE = "cache" if "cache" in {f.name for f in dataclasses.fields(CausalLMOutputWithPast)} else "past_key_values"


def quotient(numerator, x):
    """numerator / x, rounded once. Python's 127.0 / x would be 127.0 * (1 / x), rounded twice."""
    return torch.full_like(x, numerator) / x


def rms_norm(x, weight, eps):
    """x / sqrt(mean(x^2) + eps) * weight, over the last dimension."""
    rstd = quotient(1.0, torch.sqrt(x.square().mean(-1, keepdim=True) + eps))
    return x * rstd * weight.to(x.dtype)


def quantize_activations(n):
    """n (..., D) to int8 codes, held as real numbers, and a scale (..., 1) for each row; halves round to even."""
    scale = quotient(127.0, n.abs().amax(-1, keepdim=True).clamp(min=1e-5))
    return (n * scale).round().clamp(-128, 127), scale


def quantize_weight(weight):
    """weight (O, I) to codes -1, 0, 1, held as real numbers, and one scale (). The mean is added in float64."""
    mean = weight.abs().mean(dtype=torch.float64).to(weight.dtype)
    scale = quotient(1.0, mean.clamp(min=1e-5))
    return (weight * scale).round().clamp(-1, 1), scale


class TernaryProduct(torch.autograd.Function):
    """y (..., O) of rows n (..., I) and a latent matrix (O, I) whose codes and scale are given.

    The sum of codes is an integer below 2^24, so float32 (TF32, too) computes it exactly, in any order.
    Backward is straight-through: roundings and clamps count as the identity, scales as constants."""

    @staticmethod
    def forward(ctx, n, weight, codes, scale):
        q, row_scale = quantize_activations(n)
        ctx.save_for_backward(q, row_scale, codes, scale)
        ctx.weight_dtype = weight.dtype
        return F.linear(q, codes) / (row_scale * scale)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        q, row_scale, codes, scale = ctx.saved_tensors
        dn = dweight = None
        with torch.autocast(dy.device.type, enabled=False):
            if ctx.needs_input_grad[0]:
                dn = dy @ codes / scale
            if ctx.needs_input_grad[1]:
                dweight = dy.flatten(0, -2).T @ (q / row_scale).flatten(0, -2)
                dweight = dweight.to(ctx.weight_dtype)
        return dn, dweight, None, None


class Recurrence(torch.autograd.Function):
    """h[t] = f[t] * h[t-1] + v[t], h[-1] = initial; f, v, h (B, T, D), initial (B, D).

    A loop over time of one fused operation a step. A parallel scan needs fewer steps, but it adds in another
    order, and then a prompt read at once and one read token by token end in different last bits."""

    @staticmethod
    def forward(ctx, f, v, initial):
        h = torch.empty_like(v)
        state = initial
        for f_t, v_t, h_t in zip(f.unbind(1), v.unbind(1), h.unbind(1)):
            state = torch.addcmul(v_t, f_t, state, out=h_t)
        ctx.save_for_backward(f, h, initial)
        return h

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dh):
        f, h, initial = ctx.saved_tensors
        g = dh.clone(memory_format=torch.contiguous_format)  # g[t] = dh[t] + f[t+1] * g[t+1]
        fs, gs = f.unbind(1), g.unbind(1)
        for t in range(len(gs) - 2, -1, -1):
            gs[t].addcmul_(fs[t + 1], gs[t + 1])
        before = torch.cat([initial.unsqueeze(1), h[:, :-1]], dim=1)
        return g * before, g, fs[0] * gs[0]


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return rms_norm(x, self.weight, self.eps)


class BitLinear(nn.Linear):
    """A dense layer with its own norm, ternary unless config.quantize is "none". The stored matrix is latent.

    In evaluation without gradients codes and scale are kept from call to call, four bytes a weight, and made
    again when the matrix changes. A change through `weight.data` in place is not seen: call train() and eval()
    after it."""

    def __init__(self, config, inputs, outputs, std):
        super().__init__(inputs, outputs, bias=False)
        self.norm = RMSNorm(inputs, config.rms_norm_eps)
        self.ternary = config.quantize == "ternary"
        self.std = std  # of first values; None: Xavier-uniform of gain 2^-2.5
        self._kept = None  # key, codes, scale

    def forward(self, x):
        n = self.norm(x)
        # Autocast would round sums of codes to 16 bits.
        with torch.autocast(n.device.type, enabled=False):
            if not self.ternary:
                return F.linear(n, self.weight.to(n.dtype))
            return TernaryProduct.apply(n, self.weight, *self.codes_and_scale(n.dtype))

    def codes_and_scale(self, dtype):
        w = self.weight.detach()
        if self.training or torch.is_grad_enabled() or w.is_inference():
            return quantize_weight(w.to(dtype))
        key = (w._version, w.data_ptr(), w.device, w.dtype, dtype)
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, *quantize_weight(w.to(dtype)))
        return self._kept[1:]

    def train(self, mode=True):
        self._kept = None
        return super().train(mode)

    def __getstate__(self):
        return {**self.__dict__, "_kept": None}


class HGRNBitAttention(nn.Module):
    """The token mixer, MLGRU."""

    def __init__(self, config):
        super().__init__()
        D = config.hidden_size
        self.i_proj = BitLinear(config, D, D, std=None)
        self.f_proj = BitLinear(config, D, D, std=None)
        self.g_proj = BitLinear(config, D, D, std=None)
        self.g_norm = RMSNorm(D, config.rms_norm_eps)
        self.o_proj = BitLinear(config, D, D, std=None)

    def forward(self, u, bound, state, keep):
        """u (B, T, D); bound (D) or None; state (B, D) or None; keep (B, T, 1), false at padding, or None.
        Returns the branch (B, T, D) and the last state (B, D)."""
        f = torch.sigmoid(self.f_proj(u))
        if bound is not None:
            f = bound + (1 - bound) * f
        v = (1 - f) * F.silu(self.i_proj(u))
        if keep is not None:  # a padded position leaves the state as it is
            f = torch.where(keep, f, 1.0)
            v = torch.where(keep, v, 0.0)
        if state is None:
            state = u.new_zeros(u.shape[0], u.shape[2])
        h = Recurrence.apply(f, v, state.to(u.dtype))
        return self.o_proj(self.g_norm(self.g_proj(u)) * F.silu(h)), h[:, -1]


class HGRNBitMLP(nn.Module):
    """The channel mixer, a gated linear unit."""

    def __init__(self, config):
        super().__init__()
        D, H = config.hidden_size, config.glu_width
        self.gate_proj = BitLinear(config, D, 2 * H, config.initializer_range)
        self.down_proj = BitLinear(config, H, D, config.initializer_range / math.sqrt(2 * config.num_hidden_layers))

    def forward(self, u):
        a, b = self.gate_proj(u).chunk(2, dim=-1)
        return self.down_proj(F.silu(a) * b)


class HGRNBitBlock(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attn_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.attn = HGRNBitAttention(config)
        self.mlp_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = HGRNBitMLP(config)

    def forward(self, x, bound, state, keep):
        branch, state = self.attn(self.attn_norm(x), bound, state, keep)
        x = x + branch
        return x + self.mlp(self.mlp_norm(x)), state


class HGRNBitCache:
    """What decoding carries from token to token: one state (B, D) a layer, of a size that does not grow.

    A recurrence cannot go back, so crop() is an error, and so is assisted generation."""

    is_compileable = False
    is_croppable = False

    def __init__(self, num_layers):
        self.states = [None] * num_layers
        self.seen = 0  # positions, padding counted

    def __len__(self):
        return len(self.states)

    @property
    def is_linear(self):  # transformers 5: where all are, generate() does not say which ids are new
        return [False] * len(self.states)

    def get_seq_length(self, layer_idx=0):
        return self.seen

    def reorder_cache(self, beam_idx):
        """Row b continues what row beam_idx[b] was (beam search)."""
        self.states = [s if s is None else s.index_select(0, beam_idx.to(s.device)) for s in self.states]

    def batch_select_indices(self, indices):
        self.states = [s if s is None else s[indices.to(s.device)] for s in self.states]

    def batch_repeat_interleave(self, repeats):
        self.states = [s if s is None else s.repeat_interleave(repeats, dim=0) for s in self.states]

    def reset(self):
        self.states = [None] * len(self.states)
        self.seen = 0

    def crop(self, *args):
        raise NotImplementedError("HGRNBitCache: a recurrent state cannot go back to an earlier position")


class HGRNBitPreTrainedModel(PreTrainedModel):
    config_class = HGRNBitConfig
    base_model_prefix = "model"
    _no_split_modules = ["HGRNBitBlock"]
    _is_stateful = True
    supports_gradient_checkpointing = False

    @classmethod
    def _supports_default_dynamic_cache(cls):
        return False  # generate() leaves the cache to the model, which makes an HGRNBitCache

    def _init_weights(self, module):
        if isinstance(module, BitLinear):
            if module.std is None:
                nn.init.xavier_uniform_(module.weight, gain=2**-2.5)
            else:
                nn.init.normal_(module.weight, mean=0.0, std=module.std)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, mean=0.0, std=self.config.initializer_range)
        elif isinstance(module, RMSNorm):
            nn.init.ones_(module.weight)
        elif isinstance(module, HGRNBitModel) and module.lower_bounds is not None:
            nn.init.zeros_(module.lower_bounds)

    def resize_token_embeddings(self, *args, **kwargs):
        raise NotImplementedError("HGRNBit: the vocabulary cannot be resized: the head is a ternary layer of its own")


class HGRNBitModel(HGRNBitPreTrainedModel):
    """Embedding, blocks and last norm. Weights may be stored in bfloat16; the arithmetic is float32 then, and
    float64 where they are float64."""

    def __init__(self, config):
        super().__init__(config)
        D, L = config.hidden_size, config.num_hidden_layers
        self.embeddings = nn.Embedding(config.vocab_size, D)
        self.lower_bounds = nn.Parameter(torch.zeros(L, D)) if config.use_lower_bound else None
        self.layers = nn.ModuleList([HGRNBitBlock(config) for _ in range(L)])
        self.norm = RMSNorm(D, config.rms_norm_eps)
        self.post_init()

    def get_input_embeddings(self):
        return self.embeddings

    def set_input_embeddings(self, value):
        self.embeddings = value

    def gate_bounds(self, dtype):
        """bounds[l] = sum over 1..l of softmax(lower_bounds, over layers); None for the first layer."""
        if self.lower_bounds is None:
            return [None] * len(self.layers)
        shares = torch.softmax(self.lower_bounds.to(dtype), dim=0).cumsum(0)
        return [None, *(shares - shares[0])[1:]]

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        past_key_values=None,
        inputs_embeds=None,
        use_cache=None,
        output_hidden_states=None,
        return_dict=None,
        cache=None,
        **kwargs,
    ):
        """attention_mask (B, past + T): zeros mark padding, which leaves the states as they are. `cache` and
        `past_key_values` are two names of one argument."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("HGRNBitModel: expected either input_ids or inputs_embeds")
        cache = cache if cache is not None else past_key_values
        if cache is not None and not isinstance(cache, HGRNBitCache):
            raise TypeError(f"HGRNBitModel: expected an HGRNBitCache, got {type(cache).__name__}")
        if use_cache is None:
            use_cache = self.config.use_cache and not self.training
        if cache is None and use_cache:
            cache = HGRNBitCache(len(self.layers))
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        x = inputs_embeds if inputs_embeds is not None else self.embeddings(input_ids)
        x = x.to(torch.float64 if x.dtype == torch.float64 else torch.float32)
        T = x.shape[1]
        keep = None
        if attention_mask is not None:
            if attention_mask.dim() != 2 or attention_mask.shape[1] < T:
                raise ValueError(
                    f"HGRNBitModel: attention_mask: expected (B, past + T) with T = {T}, "
                    f"got {tuple(attention_mask.shape)}"
                )
            keep = attention_mask[:, -T:, None].to(x.device, torch.bool)

        seen_states = ()
        bounds = self.gate_bounds(x.dtype)
        for l, block in enumerate(self.layers):
            if output_hidden_states:
                seen_states += (x,)
            x, state = block(x, bounds[l], cache.states[l] if cache is not None else None, keep)
            if cache is not None:
                cache.states[l] = state
        if cache is not None:
            cache.seen += T
        x = self.norm(x)
        if output_hidden_states:
            seen_states += (x,)

        output = BaseModelOutputWithPast(
            last_hidden_state=x, hidden_states=seen_states if output_hidden_states else None, **{CACHE: cache}
        )
        return output if (self.config.return_dict if return_dict is None else return_dict) else output.to_tuple()


class HGRNBitForCausalLM(HGRNBitPreTrainedModel, GenerationMixin):
    def __init__(self, config):
        super().__init__(config)
        self.model = HGRNBitModel(config)
        self.lm_head = BitLinear(config, config.hidden_size, config.vocab_size, config.initializer_range)
        self.post_init()

    def get_input_embeddings(self):
        return self.model.embeddings

    def set_input_embeddings(self, value):
        self.model.embeddings = value

    def get_output_embeddings(self):
        return self.lm_head

    def set_output_embeddings(self, value):
        self.lm_head = value

    def _reorder_cache(self, cache, beam_idx):
        cache.reorder_cache(beam_idx)
        return cache

    def prepare_inputs_for_generation(
        self,
        input_ids,
        past_key_values=None,
        attention_mask=None,
        inputs_embeds=None,
        use_cache=None,
        cache=None,
        next_sequence_length=None,
        is_first_iteration=False,
        **kwargs,
    ):
        """The positions that the cache has not seen; both names of the cache are taken. Ids may be all, or, at
        first, only the new ones; a mask covers everything. transformers 5 drops a mask of ones, and gives the
        number of new ids unless all are."""
        cache = cache if cache is not None else past_key_values
        seen = cache.get_seq_length() if cache is not None else 0
        inputs = {"attention_mask": attention_mask, "use_cache": use_cache, "cache": cache}
        if inputs_embeds is not None and seen == 0:
            inputs["inputs_embeds"] = inputs_embeds  # of the prompt; generate() always uses a cache then
        else:
            new = next_sequence_length
            if new is None and seen > 0 and attention_mask is not None:
                new = attention_mask.shape[1] - seen
            elif new is None:
                new = input_ids.shape[1] - (0 if is_first_iteration else seen)
            if new <= 0:
                raise ValueError(f"HGRNBit: expected more ids than the {seen} that the cache has seen")
            inputs["input_ids"] = input_ids[:, -new:].contiguous()
        for key in ("logits_to_keep", "output_hidden_states"):
            if kwargs.get(key) is not None:
                inputs[key] = kwargs[key]
        return inputs

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        past_key_values=None,
        inputs_embeds=None,
        labels=None,
        use_cache=None,
        output_hidden_states=None,
        return_dict=None,
        logits_to_keep=0,
        cache=None,
        **kwargs,
    ):
        """labels (B, T) are shifted here, -100 is ignored. logits_to_keep: that many last positions (0: all), or
        their indices."""
        return_dict = self.config.return_dict if return_dict is None else return_dict
        body = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            cache=cache,
        )
        x = body.last_hidden_state
        keep = kwargs.get("num_logits_to_keep") or logits_to_keep
        if not isinstance(keep, int):
            x = x[:, keep]
        elif keep > 0:
            x = x[:, -keep:]
        logits = self.lm_head(x)
        output = CausalLMOutputWithPast(
            loss=self.causal_loss(logits, labels, **kwargs),
            logits=logits,
            hidden_states=body.hidden_states,
            **{CACHE: body[CACHE] if CACHE in body else None},
        )
        return output if return_dict else output.to_tuple()

    @staticmethod
    def causal_loss(logits, labels, shift_labels=None, num_items_in_batch=None, ignore_index=-100, **kwargs):
        """Cross entropy in the logits' own type: the mean over targets, or their sum over num_items_in_batch."""
        if shift_labels is None:
            if labels is None:
                return None
            shift_labels = F.pad(labels, (0, 1), value=ignore_index)[:, 1:]
        targets = shift_labels.reshape(-1).to(logits.device)
        reduction = "mean" if num_items_in_batch is None else "sum"
        loss = F.cross_entropy(logits.flatten(0, 1), targets, ignore_index=ignore_index, reduction=reduction)
        if torch.is_tensor(num_items_in_batch):
            num_items_in_batch = num_items_in_batch.to(loss.device)
        return loss if num_items_in_batch is None else loss / num_items_in_batch
