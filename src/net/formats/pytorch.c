// A network as Python that a person would write: the layers that it has, one a line, and what it
// takes to bring weights in and out. Short enough to be read and changed by who gets it.
#include "net/formats/check.h"

#include "base/file.h"
#include "base/text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

// A value as a Python literal, which JSON's numbers, texts and lists of both are. Takes it over.
static void put_value(struct fm_text *text, json_t *value)
{
    char *literal = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    if (literal)
        fm_text_append(text, "%s", literal);
    else
        text->failed = true;
    free(literal);
    json_decref(value);
}

static void put_names(struct fm_text *text, const struct fm_format_model *model)
{
    fm_text_append(text, "CLASS_NAMES = [\n");
    for (int k = 0; k < model->net->classes; k++) {
        fm_text_append(text, "    ");
        put_value(text, json_string(model->class_names[k]));
        fm_text_append(text, ",\n");
    }
    fm_text_append(text, "]\n");
}

static void put_channels(struct fm_text *text, const struct fm_net *net, const char *name,
    float (*value)(const struct fm_net *net, int channel))
{
    json_t *list = json_array();
    for (int c = 0; c < net->input.shape.c; c++)
        json_array_append_new(list, json_real(fm_format_decimal(value(net, c))));
    fm_text_append(text, "%s = ", name);
    put_value(text, list);
    fm_text_append(text, "\n");
}

// What the file is for, and the values that differ between trainings of the same network.
static void put_head(struct fm_text *text, const struct fm_format_model *model)
{
    const struct fm_net *net = model->net;
    fm_text_append(text,
        "\"\"\"The network %s of fmnist as a PyTorch module (needs torch and safetensors).\n"
        "\n"
        "    import model, torch\n"
        "\n"
        "    net = model.load(\"model.safetensors\")\n"
        "    with torch.no_grad():\n"
        "        probabilities = net(images).softmax(1)  # images: u8 [N, %d, %d]\n"
        "\n"
        "A network that was trained in PyTorch, from load() or from Net(), goes back by save():\n"
        "`fmnist eval`, `predict` and `export` take the file.\n"
        "\"\"\"\n"
        "\n"
        "import json\n"
        "\n"
        "import torch\n"
        "from safetensors import safe_open\n"
        "from safetensors.torch import load_file, save_file\n"
        "from torch import nn\n"
        "from torch.nn import functional as F\n"
        "\n",
        net->name, net->input.rows, net->input.cols);
    fm_text_append(text, "MODEL = \"%s\"\nINPUT_SIZE = \"%d\"\n", net->name, net->input.shape.h);
    put_names(text, model);
    fm_text_append(text, "\n# Of pixels / 255, a value for each channel.\n");
    put_channels(text, net, "MEAN", fm_format_mean);
    put_channels(text, net, "DEVIATION", fm_format_deviation);
}

// "        self.conv1 = nn.Conv2d(1, 32, 3)"; nothing of layers that have no state.
static void put_member(struct fm_text *text, const struct fm_net *net, int index)
{
    const struct fm_layer *layer = &net->layers[index];
    switch (layer->kind) {
    case FM_LAYER_CONV:
        fm_text_append(text, "        self.%s = nn.Conv2d(%d, %d, %d", layer->name, layer->in.c,
            layer->out.c, layer->kernel);
        if (layer->padding > 0)
            fm_text_append(text, ", padding=%d", layer->padding);
        break;
    case FM_LAYER_BATCHNORM:
        // eps 1e-5 and momentum 0.1 are PyTorch's own (net.h).
        fm_text_append(text, "        self.%s = nn.BatchNorm2d(%d)\n", layer->name, layer->out.c);
        return;
    case FM_LAYER_DROPOUT:
        fm_text_append(text, "        self.%s = nn.Dropout(", layer->name);
        put_value(text, json_real(fm_format_decimal(layer->rate)));
        fm_text_append(text, ")\n");
        return;
    case FM_LAYER_DENSE:
        fm_text_append(
            text, "        self.%s = nn.Linear(%zu, ", layer->name, fm_shape_size(layer->in));
        if (index == net->layer_count - 1)
            fm_text_append(text, "classes");
        else
            fm_text_append(text, "%d", layer->out.c);
        break;
    default:
        return;
    }
    fm_text_append(text, "%s)\n", layer->bias < 0 ? ", bias=False" : "");
}

static void put_members(struct fm_text *text, const struct fm_net *net)
{
    fm_text_append(text,
        "\n"
        "\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, class_names=CLASS_NAMES, mean=MEAN, deviation=DEVIATION):\n"
        "        super().__init__()\n"
        "        self.class_names = list(class_names)\n"
        "        classes = len(self.class_names)\n"
        "        for name, values in ((\"mean\", mean), (\"deviation\", deviation)):\n"
        "            channels = torch.tensor(values, dtype=torch.float32)\n"
        "            channels = channels.expand(%d).reshape(1, -1, 1, 1)\n"
        "            self.register_buffer(name, channels.clone(), persistent=False)\n",
        net->input.shape.c);
    for (int i = 0; i < net->layer_count; i++)
        put_member(text, net, i);
}

static void put_forward_input(struct fm_text *text, const struct fm_net *net)
{
    const struct fm_input *input = &net->input;
    fm_text_append(text,
        "\n"
        "    def forward(self, images):\n"
        "        \"\"\"Images [N, %d, %d] of u8, or floats from 0 to 255, to logits [N, "
        "classes].\"\"\"\n"
        "        x = images.to(self.mean.dtype).unsqueeze(1)\n"
        "        x = (x / 255 - self.mean) / self.deviation\n",
        input->rows, input->cols);
    if (fm_format_resizes(net))
        fm_text_append(text,
            "        x = F.interpolate(x, size=(%d, %d), mode=\"bilinear\", align_corners=False)\n",
            input->shape.h, input->shape.w);
}

static void put_call(struct fm_text *text, const struct fm_layer *layer, bool *flat)
{
    switch (layer->kind) {
    case FM_LAYER_RELU:
        fm_text_append(text, "        x = F.relu(x)\n");
        break;
    case FM_LAYER_MAXPOOL:
        fm_text_append(text, "        x = F.max_pool2d(x, 2)\n");
        break;
    case FM_LAYER_MEANPOOL:
        fm_text_append(text, "        x = x.mean(dim=(2, 3))\n");
        *flat = true;
        break;
    case FM_LAYER_DENSE:
        if (!*flat)
            fm_text_append(text, "        x = x.flatten(1)\n");
        *flat = true;
        fm_text_append(text, "        x = self.%s(x)\n", layer->name);
        break;
    default:
        fm_text_append(text, "        x = self.%s(x)\n", layer->name);
        break;
    }
}

static void put_forward(struct fm_text *text, const struct fm_net *net)
{
    bool flat = false;
    put_forward_input(text, net);
    for (int i = 0; i < net->layer_count; i++)
        put_call(text, &net->layers[i], &flat);
    fm_text_append(text, "        return x\n");
}

static void put_load(struct fm_text *text)
{
    fm_text_append(text,
        "\n"
        "\n"
        "def load(path):\n"
        "    \"\"\"The network with the weights of a file, in evaluation mode.\"\"\"\n"
        "    with safe_open(path, \"pt\") as file:\n"
        "        metadata = file.metadata() or {}\n"
        "    found = metadata.get(\"model\"), metadata.get(\"input_size\", INPUT_SIZE)\n"
        "    if found != (MODEL, INPUT_SIZE):\n"
        "        raise ValueError(f\"{path}: of {found}, expected {(MODEL, INPUT_SIZE)}\")\n"
        "    net = Net(*(json.loads(metadata[key])\n"
        "                for key in (\"class_names\", \"input_mean\", \"input_deviation\")))\n"
        "    net.load_state_dict(load_file(path))\n"
        "    return net.eval()\n");
}

// The metadata of this project's weights files, as far as a network knows them; the version of
// their form is that of the file that the weights are from.
static void put_save(struct fm_text *text, const char *format)
{
    fm_text_append(text,
        "\n"
        "\n"
        "def _channels(tensor):\n"
        "    values = tensor.flatten().tolist()\n"
        "    return json.dumps(values[0] if len(set(values)) == 1 else values)\n"
        "\n"
        "\n"
        "def save(net, path, class_names=None):\n"
        "    \"\"\"Writes a weights file of fmnist.\"\"\"\n"
        "    names = net.class_names if class_names is None else list(class_names)\n"
        "    tensors = {\n"
        "        name: tensor.detach().to(\"cpu\", torch.float32).contiguous()\n"
        "        for name, tensor in net.state_dict().items()\n"
        "        if not name.endswith(\"num_batches_tracked\")\n"
        "    }\n"
        "    save_file(tensors, path, metadata={\n"
        "        \"fmnist_format\": ");
    put_value(text, json_string(format));
    fm_text_append(text, ",\n"
                         "        \"model\": MODEL,\n"
                         "        \"input_size\": INPUT_SIZE,\n"
                         "        \"classes\": str(len(names)),\n"
                         "        \"class_names\": json.dumps(names, ensure_ascii=False),\n"
                         "        \"input_mean\": _channels(net.mean),\n"
                         "        \"input_deviation\": _channels(net.deviation),\n"
                         "    })\n");
}

enum fm_status fm_pytorch_write(const char *path, const struct fm_format_model *model)
{
    FM_TRY(fm_format_check(path, model));
    const char *format = fm_safetensors_metadata(model->tensors, "fmnist_format");
    if (!format)
        return fm_fail(
            FM_DATA, "%s: not written: the weights have no metadata \"fmnist_format\"", path);
    struct fm_text text = {0};
    put_head(&text, model);
    put_members(&text, model->net);
    put_forward(&text, model->net);
    put_load(&text);
    put_save(&text, format);
    enum fm_status status;
    if (text.failed)
        status = fm_fail(
            FM_DATA, "%s: not written: a class name is not UTF-8, or out of memory", path);
    else
        status = fm_file_write(path, text.data, text.length);
    fm_text_free(&text);
    return status;
}
