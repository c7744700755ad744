"""Trains one experiment.

deepspeed scripts/train.py --config tiny/calico.yaml
python scripts/train.py --config tiny/calico.yaml --set training.max_steps=100 --dry-run
"""

from llava_corr.training.command import main

if __name__ == "__main__":
    raise SystemExit(main())
