"""The section on training."""

import io

import pandas as pd
from matplotlib import pyplot as plt

from sonosynth.report.sections.training import learning_curve, losses, probes

TABLE = """steps,f1,error,draw,split,chosen
100,0.5,0.04,0,0,False
200,0.7,0.03,0,0,True
400,0.72,0.03,0,0,False
100,0.6,0.05,0,1,True
200,0.55,0.05,0,1,False
400,0.58,0.05,0,1,False
"""


def test_the_learning_curve_has_a_line_and_a_dot_for_each_split():
    axis = learning_curve(pd.read_csv(io.StringIO(TABLE))).axes[0]
    drawn = [line.get_xydata().tolist() for line in axis.lines]
    assert drawn[::2] == [[[100, 0.5], [200, 0.7], [400, 0.72]], [[100, 0.6], [200, 0.55], [400, 0.58]]]
    assert drawn[1::2] == [[[200, 0.7]], [[100, 0.6]]]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["100", "200", "400"]
    plt.close("all")


def test_losses_of_unets_and_controls_have_a_panel_where_there_are_any():
    def table(*parts):
        rows = [(part, "", step, 1.0) for part in parts for step in (1, 2)]
        return pd.DataFrame(rows, columns=["part", "label", "step", "loss"])

    others = ({}, {"scratch": table("unet")}, {"mask": table("lora", "control")})
    panels = [losses({"sd": table("lora"), **more}).axes for more in others]
    assert [[axis.get_title() for axis in axes] for axes in panels] == [
        ["learned token", "LoRA"],
        ["learned token", "LoRA", "whole U-Net"],
        ["learned token", "LoRA", "control branch"],
    ]
    assert [len(axis.lines) for axis in panels[1]] == [0, 1, 1]
    plt.close("all")


def test_a_token_of_each_class_has_a_line_of_its_own():
    rows = [("token", "1", 1, 2.0), ("token", "1", 2, 4.0), ("token", "2", 1, 5.0), ("lora", "", 1, 6.0)]
    token, lora = losses({"ti": pd.DataFrame(rows, columns=["part", "label", "step", "loss"])}).axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in token.lines}
    assert drawn == {"ti: 1": [[1, 2], [2, 3]], "ti: 2": [[1, 5]]}
    assert [line.get_label() for line in lora.lines] == ["ti"]
    plt.close("all")


PROBES = """adapter,draw,split,steps,guidance,features,class,metric,value,error,chosen
sd,0,0,250,1.0,embedded,,kernel,3,0.1,False
sd,0,0,250,1.0,embedded,a,kernel,9,0.1,False
sd,0,0,250,2.5,embedded,,kernel,4,0.1,False
sd,0,0,500,1.0,embedded,,kernel,2,0.1,True
sd,0,0,500,1.0,ultrasound,a,mean,8,,True
sd,0,0,500,2.5,embedded,,kernel,5,0.1,False
sd+ti,0,1,250,1.0,embedded,,kernel,1,0.1,True
sd+ti,0,1,500,1.0,embedded,,kernel,2,0.1,False
"""


def test_probes_have_a_panel_for_each_adapter_and_a_line_for_each_split_and_guidance():
    table = pd.read_csv(io.StringIO(PROBES)).fillna({"class": ""})
    left, right = probes(table).axes
    drawn = [[line.get_xydata().tolist() for line in axis.lines] for axis in (left, right)]
    assert drawn == [
        [[[250, 3], [500, 2]], [[500, 2]], [[250, 4], [500, 5]], []],
        [[[250, 1], [500, 2]], [[250, 1]]],
    ]  # fmt: skip
    assert [axis.get_title() for axis in (left, right)] == ["sd", "sd+ti"]
    plt.close("all")
