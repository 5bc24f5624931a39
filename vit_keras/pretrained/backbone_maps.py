"""Weight formats of self-supervised and image-text backbones: DINOv2, DINOv3, CLIP and SigLIP.

Letters as in `weight_format`.
"""

from dataclasses import replace

from vit_keras.pretrained.weight_format import (
    BEFORE_NORM,
    BLOCK,
    CLASS_TOKEN,
    CONV_TORCH,
    LAYER_SCALES,
    LINEAR,
    MASK_TOKEN,
    POSITIONS,
    PROBE,
    REGISTERS,
    SAME,
    TEXT,
    TWO_POOLS,
    UNBATCHED,
    VECTOR,
    Pixels,
    WeightFormat,
    WeightMapping,
    dense,
    source,
    torch_dense,
    torch_norm,
)

IMAGENET_PIXELS = Pixels("ImageNet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP_PIXELS = Pixels(
    "CLIP", (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
)
TORCH_AXES = (2, 1, 0)  # of P, C and D in the patch kernel


def parts_of(ours: str, theirs: str, *parts: int) -> dict[str, WeightMapping]:
    """A dense layer that is some of the parts of a fused array, `theirs` with {} for its leaf."""
    kernels, biases = ([f"{theirs.format(leaf)}/{i}" for i in parts] for leaf in ("weight", "bias"))
    return dense(ours, LINEAR, kernels, biases)


def _dinov2() -> WeightFormat:
    """Oquab et al. 2023, also with registers (Darcet et al. 2024), as Hugging Face has it."""
    theirs = "encoder.layer.{i}."
    attention = theirs + "attention."
    return WeightFormat(
        "Hugging Face (DINOv2)",
        {
            **torch_dense(
                "patch_embedding/projection",
                "embeddings.patch_embeddings.projection",
                layout=CONV_TORCH,
            ),
            CLASS_TOKEN: source(SAME, "embeddings.cls_token"),
            POSITIONS: source(SAME, "embeddings.position_embeddings"),
            REGISTERS: source(SAME, "embeddings.register_tokens"),
            **torch_norm(BLOCK + "attention_norm", theirs + "norm1"),
            **torch_dense(
                BLOCK + "attention/qkv",
                *(f"{attention}attention.{part}" for part in ("query", "key", "value")),
            ),
            **torch_dense(BLOCK + "attention/projection", attention + "output.dense"),
            LAYER_SCALES[0]: source(SAME, theirs + "layer_scale1.lambda1"),
            **torch_norm(BLOCK + "mlp_norm", theirs + "norm2"),
            **torch_dense(BLOCK + "mlp/hidden", theirs + "mlp.fc1"),
            **torch_dense(BLOCK + "mlp/output", theirs + "mlp.fc2"),
            LAYER_SCALES[1]: source(SAME, theirs + "layer_scale2.lambda1"),
            **torch_norm("encoder_norm", "layernorm"),
            **torch_dense("head", "classifier"),
        },
        patch_axes=TORCH_AXES,
        mark="encoder.layer.*.layer_scale1.lambda1",
        droppable={"embeddings.mask_token": MASK_TOKEN},
        refused={"classifier.weight": TWO_POOLS, "classifier.bias": TWO_POOLS},
        pixels=IMAGENET_PIXELS,
        interpolation="bicubic_aliased",
    )


def _dinov3() -> WeightFormat:
    """Siméoni et al. 2025, as Hugging Face has it."""
    theirs = "layer.{i}."
    attention = theirs + "attention."
    return WeightFormat(
        "Hugging Face (DINOv3)",
        {
            **torch_dense(
                "patch_embedding/projection", "embeddings.patch_embeddings", layout=CONV_TORCH
            ),
            CLASS_TOKEN: source(SAME, "embeddings.cls_token"),
            REGISTERS: source(SAME, "embeddings.register_tokens"),
            **torch_norm(BLOCK + "attention_norm", theirs + "norm1"),
            **torch_dense(
                BLOCK + "attention/qkv", *(f"{attention}{part}_proj" for part in ("q", "k", "v"))
            ),
            **torch_dense(BLOCK + "attention/projection", attention + "o_proj"),
            LAYER_SCALES[0]: source(SAME, theirs + "layer_scale1.lambda1"),
            **torch_norm(BLOCK + "mlp_norm", theirs + "norm2"),
            **torch_dense(BLOCK + "mlp/hidden", theirs + "mlp.up_proj"),
            **torch_dense(BLOCK + "mlp/output", theirs + "mlp.down_proj"),
            LAYER_SCALES[1]: source(SAME, theirs + "layer_scale2.lambda1"),
            **torch_norm("encoder_norm", "norm"),
            **torch_dense("head", "classifier"),
        },
        patch_axes=TORCH_AXES,
        droppable={"embeddings.mask_token": MASK_TOKEN},
        zeros=("layer.*.attention.?_proj.bias",),
        arch={"position": "rope_dinov3", "norm_epsilon": 1e-5},
        pixels=IMAGENET_PIXELS,
    )


def _image_text_tower() -> dict[str, WeightMapping]:
    """What the vision towers of CLIP and SigLIP have in common, as Hugging Face has them."""
    theirs = "encoder.layers.{i}."
    attention = theirs + "self_attn."
    return {
        **torch_dense(
            "patch_embedding/projection", "embeddings.patch_embedding", layout=CONV_TORCH
        ),
        POSITIONS: source(UNBATCHED, "embeddings.position_embedding.weight"),
        **torch_norm(BLOCK + "attention_norm", theirs + "layer_norm1"),
        **torch_dense(
            BLOCK + "attention/qkv", *(f"{attention}{part}_proj" for part in ("q", "k", "v"))
        ),
        **torch_dense(BLOCK + "attention/projection", attention + "out_proj"),
        **torch_norm(BLOCK + "mlp_norm", theirs + "layer_norm2"),
        **torch_dense(BLOCK + "mlp/hidden", theirs + "mlp.fc1"),
        **torch_dense(BLOCK + "mlp/output", theirs + "mlp.fc2"),
        **torch_norm("encoder_norm", "post_layernorm"),
        **torch_dense("head", "classifier"),
    }


def _clip() -> WeightFormat:
    """Radford et al. 2021, as Hugging Face has it; the text tower is left over."""
    return WeightFormat(
        "Hugging Face (CLIP)",
        {
            **_image_text_tower(),
            CLASS_TOKEN: source(VECTOR, "embeddings.class_embedding"),
            **torch_norm("pre_norm", "pre_layrnorm"),  # sic
        },
        patch_axes=TORCH_AXES,
        gelu="quick",
        mark="embeddings.class_embedding",
        droppable={
            "text_model.*": TEXT,
            "text_projection.*": TEXT,
            "visual_projection.*": TEXT,
            "logit_scale": TEXT,
        },
        refused={"classifier.weight": BEFORE_NORM, "classifier.bias": BEFORE_NORM},
        zeros=("embeddings.patch_embedding.bias",),
        arch={"norm_epsilon": 1e-5},
        pixels=CLIP_PIXELS,
        interpolation="bicubic_aliased",
    )


def _open_clip() -> WeightFormat:
    """Ilharco et al. 2021, and OpenAI's own names; the text tower is left over."""
    theirs = "visual.transformer.resblocks.{i}."
    attention = theirs + "attn."
    return WeightFormat(
        "OpenCLIP",
        {
            **torch_dense("patch_embedding/projection", "visual.conv1", layout=CONV_TORCH),
            CLASS_TOKEN: source(VECTOR, "visual.class_embedding"),
            POSITIONS: source(UNBATCHED, "visual.positional_embedding"),
            **torch_norm("pre_norm", "visual.ln_pre"),
            **torch_norm(BLOCK + "attention_norm", theirs + "ln_1"),
            **dense(
                BLOCK + "attention/qkv",
                LINEAR,
                [attention + "in_proj_weight"],
                [attention + "in_proj_bias"],
            ),
            **torch_dense(BLOCK + "attention/projection", attention + "out_proj"),
            LAYER_SCALES[0]: source(SAME, theirs + "ls_1.gamma"),
            **torch_norm(BLOCK + "mlp_norm", theirs + "ln_2"),
            **torch_dense(BLOCK + "mlp/hidden", theirs + "mlp.c_fc"),
            **torch_dense(BLOCK + "mlp/output", theirs + "mlp.c_proj"),
            LAYER_SCALES[1]: source(SAME, theirs + "ls_2.gamma"),
            **torch_norm("encoder_norm", "visual.ln_post"),
            **torch_dense("head", "head"),
        },
        patch_axes=TORCH_AXES,
        mark="visual.class_embedding",
        droppable={
            "visual.proj": TEXT,
            "transformer.*": TEXT,
            "text.*": TEXT,
            "token_embedding.*": TEXT,
            "positional_embedding": TEXT,
            "ln_final.*": TEXT,
            "text_projection": TEXT,
            "logit_scale": TEXT,
            "logit_bias": TEXT,
        },
        zeros=("visual.conv1.bias",),
        arch={"norm_epsilon": 1e-5},
        pixels=CLIP_PIXELS,
    )


def _siglip() -> WeightFormat:
    """Zhai et al. 2023, and SigLIP 2 of one size (Tschannen et al. 2025), as Hugging Face has them.

    Its classifier reads the mean of the patches, and no attention pooling.
    """
    pooling = "head.attention.in_proj_{}"
    return WeightFormat(
        "Hugging Face (SigLIP)",
        {
            **_image_text_tower(),
            PROBE: source(SAME, "head.probe"),
            **parts_of("pooling/query", pooling, 0),
            **parts_of("pooling/key", pooling, 1),
            **parts_of("pooling/value", pooling, 2),
            **torch_dense("pooling/projection", "head.attention.out_proj"),
            **torch_norm("pooling/norm", "head.layernorm"),
            **torch_dense("pooling/mlp/hidden", "head.mlp.fc1"),
            **torch_dense("pooling/mlp/output", "head.mlp.fc2"),
        },
        patch_axes=TORCH_AXES,
        gelu="tanh",
        droppable={
            "text_model.*": TEXT,
            "logit_scale": TEXT,
            "logit_bias": TEXT,
            "head.*": "attention pooling, which the file's classifier does not read",
        },
        fused={"head.attention.in_proj_*": 3},
        pixels=Pixels("SigLIP", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        interpolation="bicubic_aliased",
    )


def with_swiglu(plain: WeightFormat, mark: str, hidden: list[str], output: str) -> WeightFormat:
    """The same with a SwiGLU, as in the largest models; `hidden` are the gate and the value."""
    mlp = {**torch_dense(BLOCK + "mlp/hidden", *hidden)}
    mlp |= torch_dense(BLOCK + "mlp/output", output)
    return replace(plain, mappings={**plain.mappings, **mlp}, mark=mark)


DINOV2, DINOV3, CLIP, OPEN_CLIP, SIGLIP = (
    *(_dinov2(), _dinov3()),
    *(_clip(), _open_clip(), _siglip()),
)
DINOV2_SWIGLU = with_swiglu(
    DINOV2,
    "encoder.layer.*.mlp.weights_in.weight",
    ["encoder.layer.{i}.mlp.weights_in"],
    "encoder.layer.{i}.mlp.weights_out",
)
DINOV3_SWIGLU = with_swiglu(
    DINOV3,
    "layer.*.mlp.gate_proj.weight",
    ["layer.{i}.mlp.gate_proj", "layer.{i}.mlp.up_proj"],
    "layer.{i}.mlp.down_proj",
)
FORMATS = (DINOV2_SWIGLU, DINOV2, DINOV3_SWIGLU, DINOV3, CLIP, OPEN_CLIP, SIGLIP)
