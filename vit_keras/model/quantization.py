"""Layers with layers inside that can be saved and loaded again after `model.quantize`."""

import keras


class Composite(keras.layers.Layer):
    """A layer with layers inside, whose dtype policy says which of them are quantised.

    Loading builds the layers inside again from the dtype policy of this one alone. Without their
    own policies a quantised dense layer would be built in float32, and its weights would not fit.
    """

    def get_config(self):
        config = super().get_config()
        quantised = {
            layer.path: _policy(layer)
            for layer in self._flatten_layers(include_self=False)
            if layer.quantization_mode is not None
        }
        if quantised:
            policy = self.dtype_policy
            default = policy.default_policy if _is_map(policy) else policy
            policies = keras.dtype_policies.DTypePolicyMap(default.name, quantised)
            config["dtype"] = keras.dtype_policies.serialize(policies)
        return config

    def load_own_variables(self, store):
        super().load_own_variables(store)
        # Keras looks up a layer's policy in a map by its path, except where it saves the layer.
        for layer in self._flatten_layers(include_self=False):
            if layer.path and _is_map(layer.dtype_policy):
                layer._dtype_policy = layer.dtype_policy[layer.path]


def _policy(layer):
    """The dtype policy of a quantised layer.

    Raises:
        ValueError: its quantisers are not the default ones, and a policy does not hold them.
    """
    used = getattr(layer, "quantization_config", None)
    if layer.quantization_mode in ("int8", "int4") and used is not None:
        default = type(used)()
        if any(
            _facts(getattr(used, name)) != _facts(getattr(default, name))
            for name in ("weight_quantizer", "activation_quantizer")
        ):
            raise ValueError(
                f"{layer.path} is quantised by other quantisers than the default ones, which "
                f'cannot be saved; use model.quantize("{layer.quantization_mode}")'
            )
    policy = layer.dtype_policy
    return policy[layer.path] if _is_map(policy) else policy


def _facts(quantizer):
    return None if quantizer is None else (type(quantizer), quantizer.get_config())


def _is_map(policy):
    return isinstance(policy, keras.dtype_policies.DTypePolicyMap)
