"""Writes tests/data/tiny_{gpt2,bert}*.safetensors: pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0.

For each of GPT-2 and BERT, one file has the weights of a tiny random model under the names that transformers saves,
and one has token ids and what the model computes from them.
"""

import pathlib
import shutil
import tempfile

import torch
import transformers
from safetensors.torch import save_file
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
LENGTHS = [9, 4, 12]  # of three sequences, padded to the longest


def randomise(model: torch.nn.Module) -> None:
    """So that no bias is zero and no gain is one because it starts so."""
    for name, parameter in model.named_parameters():
        is_gain = parameter.dim() == 1 and name.endswith("weight")
        torch.nn.init.normal_(parameter, mean=1 if is_gain else 0, std=0.2)


def write(name: str, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> None:
    model.eval()
    with torch.no_grad():
        outputs = model(**inputs, output_hidden_states=True)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        shutil.copy(pathlib.Path(folder) / "model.safetensors", DATA / f"{name}.safetensors")
    present = inputs["attention_mask"].bool()
    rows = {key: value[present] for key, value in inputs.items() if key != "attention_mask"}
    rows |= {"hidden": outputs.hidden_states[-1][present], "logits": outputs.logits[present]}
    rows["lengths"] = torch.tensor(LENGTHS)
    save_file({key: value.contiguous() for key, value in rows.items()}, DATA / f"{name}_outputs.safetensors")
    print(f"wrote {name} with torch {torch.__version__}, transformers {transformers.__version__}")


torch.manual_seed(1)
present = torch.arange(max(LENGTHS))[None, :] < torch.tensor(LENGTHS)[:, None]
ids = torch.randint(0, 40, present.shape)

gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_positions=16, n_embd=32, n_layer=2, n_head=4))
randomise(gpt2)
write("tiny_gpt2", gpt2, {"input_ids": ids, "attention_mask": present.long()})

bert = BertForMaskedLM(
    BertConfig(
        vocab_size=40,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=16,
    )
)
randomise(bert)
types = torch.randint(0, 2, present.shape)
write("tiny_bert", bert, {"input_ids": ids, "attention_mask": present.long(), "token_type_ids": types})
