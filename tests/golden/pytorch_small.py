"""The network small of fmnist as a PyTorch module (needs torch and safetensors).

    import model, torch

    net = model.load("model.safetensors")
    with torch.no_grad():
        probabilities = net(images).softmax(1)  # images: u8 [N, 4, 6]

A network that was trained in PyTorch, from load() or from Net(), goes back by save():
`fmnist eval`, `predict` and `export` take the file.
"""

import json

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

MODEL = "small"
INPUT_SIZE = "8"
CLASS_NAMES = [
    "T-shirt/top",
    "Été \"quoted\" \\ back",
    "'bag'\ntwo lines",
]

# Of pixels / 255, a value for each channel.
MEAN = [0.25, 0.5, 0.75]
DEVIATION = [0.5, 0.25, 0.125]


class Net(nn.Module):
    def __init__(self, class_names=CLASS_NAMES, mean=MEAN, deviation=DEVIATION):
        super().__init__()
        self.class_names = list(class_names)
        classes = len(self.class_names)
        for name, values in (("mean", mean), ("deviation", deviation)):
            channels = torch.tensor(values, dtype=torch.float32)
            channels = channels.expand(3).reshape(1, -1, 1, 1)
            self.register_buffer(name, channels.clone(), persistent=False)
        self.conv1 = nn.Conv2d(3, 2, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(2)
        self.conv2 = nn.Conv2d(2, 4, 3)
        self.drop1 = nn.Dropout(0.3)
        self.fc1 = nn.Linear(32, 5)
        self.fc2 = nn.Linear(5, classes, bias=False)

    def forward(self, images):
        """Images [N, 4, 6] of u8, or floats from 0 to 255, to logits [N, classes]."""
        x = images.to(self.mean.dtype).unsqueeze(1)
        x = (x / 255 - self.mean) / self.deviation
        x = F.interpolate(x, size=(8, 12), mode="bilinear", align_corners=False)
        x = self.conv1(x)
        x = self.bn1(x)
        x = F.relu(x)
        x = F.max_pool2d(x, 2)
        x = self.conv2(x)
        x = F.relu(x)
        x = self.drop1(x)
        x = x.flatten(1)
        x = self.fc1(x)
        x = F.relu(x)
        x = self.fc2(x)
        return x


def load(path):
    """The network with the weights of a file, in evaluation mode."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    found = metadata.get("model"), metadata.get("input_size", INPUT_SIZE)
    if found != (MODEL, INPUT_SIZE):
        raise ValueError(f"{path}: of {found}, expected {(MODEL, INPUT_SIZE)}")
    net = Net(*(json.loads(metadata[key])
                for key in ("class_names", "input_mean", "input_deviation")))
    net.load_state_dict(load_file(path))
    return net.eval()


def _channels(tensor):
    values = tensor.flatten().tolist()
    return json.dumps(values[0] if len(set(values)) == 1 else values)


def save(net, path, class_names=None):
    """Writes a weights file of fmnist."""
    names = net.class_names if class_names is None else list(class_names)
    tensors = {
        name: tensor.detach().to("cpu", torch.float32).contiguous()
        for name, tensor in net.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    save_file(tensors, path, metadata={
        "fmnist_format": "2",
        "model": MODEL,
        "input_size": INPUT_SIZE,
        "classes": str(len(names)),
        "class_names": json.dumps(names, ensure_ascii=False),
        "input_mean": _channels(net.mean),
        "input_deviation": _channels(net.deviation),
    })
