"""Needle v1 in plain numpy, float64, written from its equations alone: loops over layers and heads, nothing shared with the runtime."""

from __future__ import annotations

import numpy as np


def rms(x, gamma):
    return (1.0 + gamma) * x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def rope(x, theta):
    """x: (t, head); the pair (i, i + head/2) turns by t * theta^(-2i/head)."""
    t, head = x.shape
    half = head // 2
    out = np.empty_like(x)
    for position in range(t):
        for i in range(half):
            angle = position * theta ** (-2.0 * i / head)
            a, b = x[position, i], x[position, i + half]
            out[position, i] = a * np.cos(angle) - b * np.sin(angle)
            out[position, i + half] = b * np.cos(angle) + a * np.sin(angle)
    return out


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Reference:
    def __init__(self, tensors, shape):
        self.w = {name: np.asarray(value, np.float64) for name, value in tensors.items()}
        self.shape = shape

    def attention(self, prefix, layer, asking, asked, turn, causal):
        shape, w = self.shape, self.w
        head, group = shape.width // shape.heads, shape.heads // shape.kv_heads
        q = asking @ w[f"{prefix}/q_proj/kernel"][layer]
        k = asked @ w[f"{prefix}/k_proj/kernel"][layer]
        v = asked @ w[f"{prefix}/v_proj/kernel"][layer]
        outs = []
        for h in range(shape.heads):
            at = h // group  # kv head i serves query heads i*group ... i*group + group - 1
            qh = rms(q[:, h * head : (h + 1) * head], w[f"{prefix}/q_norm/scale"][layer])
            kh = rms(k[:, at * head : (at + 1) * head], w[f"{prefix}/k_norm/scale"][layer])
            if turn:
                qh, kh = rope(qh, shape.theta), rope(kh, shape.theta)
            scores = qh @ kh.T / np.sqrt(head)
            if causal:
                scores[np.triu(np.ones(scores.shape, bool), 1)] = np.finfo(np.float32).min
            outs.append(softmax(scores) @ v[:, at * head : (at + 1) * head])
        return np.concatenate(outs, -1) @ w[f"{prefix}/out_proj/kernel"][layer]

    def encode(self, ids):
        w, block = self.w, "encoder/layers/EncoderBlock_0"
        x = w["embedding/embedding"][ids] * np.sqrt(self.shape.width)
        for layer in range(self.shape.encoder_layers):
            y = rms(x, w[f"{block}/ZCRMSNorm_0/scale"][layer])
            x = x + sigmoid(w[f"{block}/attn_gate"][layer]) * self.attention(
                f"{block}/self_attn", layer, y, y, True, False
            )
        return rms(x, w["encoder/final_norm/scale"])

    def decode(self, ids, encoded):
        """Logits (s, vocabulary) of a whole sequence at once."""
        w, block = self.w, "decoder/layers/DecoderBlock_0"
        x = w["embedding/embedding"][ids] * np.sqrt(self.shape.width)
        for layer in range(self.shape.decoder_layers):
            y = rms(x, w[f"{block}/ZCRMSNorm_0/scale"][layer])
            x = x + sigmoid(w[f"{block}/self_attn_gate"][layer]) * self.attention(
                f"{block}/self_attn", layer, y, y, True, True
            )
            y = rms(x, w[f"{block}/ZCRMSNorm_1/scale"][layer])
            x = x + sigmoid(w[f"{block}/cross_attn_gate"][layer]) * self.attention(
                f"{block}/cross_attn", layer, y, encoded, False, False
            )
        return rms(x, w["decoder/ZCRMSNorm_0/scale"]) @ w["embedding/embedding"].T
