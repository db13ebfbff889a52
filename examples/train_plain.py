# python train_plain.py EXPORTED_FOLDER 300
import json
import sys

import torch
from datasets import Dataset

run, epochs = sys.argv[1], int(sys.argv[2])
how = json.load(open(f"{run}/preprocessing.json", "rb"))
mean, std = (torch.tensor(how[name]).view(-1, 1, 1) for name in ("mean", "std"))
train, test = (Dataset.from_parquet(f"{run}/{s}.parquet").with_format("torch")[:] for s in ("train", "test"))
x, x_test = ((split["image"] / how["scale"] - mean) / std for split in (train, test))
blocks = [(torch.nn.Conv2d(n, 128, 3, 1, 1), torch.nn.GroupNorm(128, 128)) for n in (x.shape[1], 128, 128)]
layers = [layer for block in blocks for layer in (*block, torch.nn.ReLU(), torch.nn.AvgPool2d(2))]
model = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.LazyLinear(len(how["classes"])))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
for epoch, rows in ((e, rows) for e in range(epochs) for rows in torch.randperm(len(x)).split(64)):
    optimizer.param_groups[0]["lr"] = 0.01 if epoch < epochs // 2 else 0.001
    loss = torch.nn.functional.cross_entropy(model(x[rows]), train["label"][rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print((torch.cat([model(part).argmax(1) for part in x_test.split(500)]) == test["label"]).float().mean())
