"""The peers of `throughput.py`; imports are inside the functions, one library in a process."""

from tools.torchvision_stand_in import torchvision_or_stand_in


def timm_step(size, batch, is_training):
    """timm's ViT under torch.compile and autocast to bfloat16."""
    import torch
    from torch.nn import functional

    with torchvision_or_stand_in():
        import timm

    side, patch, width, depth, heads, classes = size
    card = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_float32_matmul_precision("high")
    sizes = dict(img_size=side, patch_size=patch, embed_dim=width, depth=depth, num_heads=heads)
    model = timm.models.VisionTransformer(num_classes=classes, **sizes).to(card)
    images = torch.randn(batch, 3, side, side, device=card)
    labels = torch.randint(classes, (batch,), device=card)
    # On a CPU, where this is only tried out, compiling takes longer than all the rest.
    forward = torch.compile(model) if card == "cuda" else model
    if not is_training:
        model.eval()

        def infer():
            with torch.inference_mode(), torch.autocast(card, torch.bfloat16):
                return forward(images)

        return infer
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.05, fused=card == "cuda")

    def step():
        with torch.autocast(card, torch.bfloat16):
            loss = functional.cross_entropy(forward(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def keras_hub_model(size):
    """keras-hub's ViT, a Keras model from pixels to logits."""
    import keras
    import keras_hub

    side, patch, width, depth, heads, classes = size
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    backbone = keras_hub.models.ViTBackbone(
        image_shape=(side, side, 3),
        patch_size=patch,
        num_layers=depth,
        num_heads=heads,
        hidden_dim=width,
        mlp_dim=4 * width,
        layer_norm_epsilon=1e-6,
    )
    pixels = keras.Input((side, side, 3))
    tokens = backbone(keras.layers.Rescaling(1 / 127.5, -1)(pixels))
    return keras.Model(pixels, keras.layers.Dense(classes, dtype="float32")(tokens[:, 0]))
