"""Writes all-MiniLM-L6-v2 (https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2)
as llama.cpp reads it, GGUF, in the single precision of the original, so that the
answer to a text depends as little as can be on what else is computed at the same
time: minilm.py FOLDER FILE.

FOLDER has config.json, tokenizer.json and model.safetensors. The names of what is
written are those of llama.cpp's architecture "bert"."""

import json
import pathlib
import sys

import gguf
import numpy as np
from safetensors.numpy import load_file

source = pathlib.Path(sys.argv[1])
config = json.loads((source / "config.json").read_text())
vocabulary = json.loads((source / "tokenizer.json").read_text())["model"]["vocab"]
weights = load_file(source / "model.safetensors")

writer = gguf.GGUFWriter(sys.argv[2], "bert")
writer.add_name("all-MiniLM-L6-v2")
writer.add_context_length(config["max_position_embeddings"])
writer.add_embedding_length(config["hidden_size"])
writer.add_feed_forward_length(config["intermediate_size"])
writer.add_block_count(config["num_hidden_layers"])
writer.add_head_count(config["num_attention_heads"])
writer.add_layer_norm_eps(config["layer_norm_eps"])
writer.add_causal_attention(False)
writer.add_pooling_type(gguf.PoolingType.MEAN)
writer.add_file_type(gguf.LlamaFileType.ALL_F32)


def token(text):
    """A word piece as llama.cpp has it: the begin of a word is marked, not its middle."""
    if len(text) > 2 and text[0] == "[" and text[-1] == "]":
        return text.encode(), gguf.TokenType.CONTROL
    piece = text.removeprefix("##") if text.startswith("##") else "\u2581" + text
    return piece.encode(), gguf.TokenType.NORMAL


tokens, kinds = zip(*(token(text) for text in sorted(vocabulary, key=vocabulary.get)))
writer.add_tokenizer_model("bert")
writer.add_tokenizer_pre("default")
writer.add_token_list(list(tokens))
writer.add_token_types([int(kind) for kind in kinds])
writer.add_token_type_count(2)
writer.add_unk_token_id(vocabulary["[UNK]"])
writer.add_pad_token_id(vocabulary["[PAD]"])
writer.add_mask_token_id(vocabulary["[MASK]"])
writer.add_bos_token_id(vocabulary["[CLS]"])
writer.add_sep_token_id(vocabulary["[SEP]"])
writer.add_eos_token_id(vocabulary["[SEP]"])

EMBEDDINGS = {
    "word_embeddings": "token_embd",
    "position_embeddings": "position_embd",
    "token_type_embeddings": "token_types",
    "LayerNorm": "token_embd_norm",
}
LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def renamed(name):
    """llama.cpp's name of a tensor; None for one that it has no use for."""
    base, _, kind = name.rpartition(".")
    if base.startswith("embeddings."):
        new = EMBEDDINGS.get(base.removeprefix("embeddings."))
        return new and f"{new}.{kind}"
    if base.startswith("encoder.layer."):
        number, _, part = base.removeprefix("encoder.layer.").partition(".")
        return f"blk.{number}.{LAYER[part]}.{kind}"
    return None


written = 0
for name, value in weights.items():
    new = renamed(name)
    if new is None:
        continue
    writer.add_tensor(new, value.astype(np.float32))
    written += 1
due = 5 + 16 * config["num_hidden_layers"]
if written != due:
    sys.exit(f"{written} tensors where {due} are due")
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
