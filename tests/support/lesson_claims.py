"""What each lesson claims, as figures that it must have at its end, and the answers to its exercises.

A figure is an expression of the lesson's own names, with the least and the most that it may be. The bands come from
ten or more runs with other seeds, and are about three standard deviations wide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

EXACT = 1e-8
MOST = 1e9  # where only the least is known
MEMORY_MIB = 200  # of a Pi Zero's 427, for one lesson: kernel, numpy and pyplot included
# Appended to a lesson: prints its peak memory in MiB.
PEAK = """
import pathlib
print(int(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024)
"""


@dataclass(frozen=True)
class Claims:
    """What a lesson claims."""

    exercises: Mapping[str, str]  # by task: an answer that is right
    figures: Mapping[str, tuple[float, float]]
    printed: Sequence[str] = ()  # what it prints, with figures in braces
    score: str = "None"  # what is kept as the pupil's score


ALIKE = "np.corrcoef(dreams, averages)[:10, 10:]"
AVERAGES = "[training.pixels[training.labels == label].mean(axis=0) for label in range(10)]"
TOGETHER = f"np.corrcoef(np.mean(family, axis=0), {AVERAGES})[:10, 10:].diagonal().mean()"
EACH = f"[np.corrcoef(one, {AVERAGES})[:10, 10:] for one in family]"
APART = f"np.mean([one.diagonal().mean() for one in {EACH}])"
# How much the network reads without so many nodes, in five orders.
DAMAGED = (
    "(lambda nodes: np.mean([__import__('mynn.damage').damage.damage(network, nodes, seed=order).score(testing[:2000])"
    " for order in range(5)]))"
)
# How much of some digits the ten averages of others read.
BY_AVERAGES = (
    "lambda known, asked: np.mean((2.0 * asked.pixels @ (means := np.array([known.pixels[known.labels == label]"
    ".mean(axis=0) for label in range(10)])).T - (means ** 2).sum(axis=1)).argmax(axis=1) == asked.labels)"
)
RULES = "{rule: dict(zip(rates, rows.mean(axis=0))) for rule, rows in scores.items()}"
BEST = "rates[scores['{}'].mean(axis=0).argmax()]"

CLAIMS = {
    "part2_mnist_data_set": Claims(
        exercises={"fours": "counts[4]", "grey": "128 / 255 * 0.99 + 0.01"},
        figures={
            "numbers == [training.labels[0], *training.pixels[0]]": (1, 1),
            "parrot_scores[0]": (1, 1),
            "parrot_scores[1]": (0.1135, 0.1135),
            "np.argmin(blur)": (1, 1),
            "np.mean(answers == testing.labels)": (0.8101, 0.8107),
        },
        score="0.8104",
    ),
    "part2_neural_network": Claims(
        exercises={"other_total": "0.5 * first_weight + 0.5 * second_weight", "weights": "5 * 7 + 7 * 3"},
        figures={
            "maps[0][0, -1] - sigmoid(1.5)": (-EXACT, EXACT),
            "maps[1][-1, 0] - sigmoid(-20)": (-EXACT, EXACT),
            "maps[2][-1, -1] - sigmoid(20)": (-EXACT, EXACT),
            # One step by the book's rule, which part2_neural_network_2 compares with mynn's.
            "outputs[0]": (0.643399 - 1e-6, 0.643399 + 1e-6),
            "outputs[1]": (0.598459 - 1e-6, 0.598459 + 1e-6),
            "new_outputs[0]": (0.667471 - 1e-6, 0.667471 + 1e-6),
            "new_outputs[1]": (0.561860 - 1e-6, 0.561860 + 1e-6),
        },
    ),
    "part2_neural_network_2": Claims(
        exercises={"altogether": "784 * hidden_nodes + hidden_nodes * 10", "says": "ten_outputs.argmax()"},
        figures={
            "known[0]": (0, 0.3),
            "known[1]": (0.735, 0.835),
            "known[5]": (0.97, 1),
            "new[5]": (0.4, 0.9),
            "moved": (0.1, MOST),
            "apart": (0, 1e-13),
        },
    ),
    "part2_neural_network_mnist_data": Claims(
        exercises={
            "eight_in_ten": "seen[[part >= 0.8 for part in progress].index(True)]",
            "mistakes": "(1 - accuracy) * len(testing)",
        },
        figures={
            "accuracy": (0.922, 0.954),
            "progress[0]": (0, 0.3),
            "progress[-1]": (0.9, 1),
            "seen == list(range(0, 61_000, 1000))": (1, 1),
            "abs(NeuralNetwork.load('my_network.npz').wih - network.wih).max()": (0, 0),
            # What later lessons say of this network, in place of the one on the card.
            f"{DAMAGED}(15)": (0.847, 0.867),
            f"{DAMAGED}(25)": (0.696, 0.716),
            f"{DAMAGED}(45)": (0.206, 0.226),
        },
        score="accuracy",
    ),
    "part2_neural_network_mnist_improved": Claims(
        exercises={"my_rate": "best_rate", "gone": "1 - (1 - after) / (1 - before)"},
        figures={
            "ten.mean()": (0.893, 0.903),
            "ten.std(ddof=1)": (0.001, 0.01),
            "by_rate[0].mean()": (0.798, 0.858),
            "by_rate[2].mean()": (0.888, 0.908),
            "by_rate[3].mean()": (0.895, 0.915),
            "by_rate[6].mean()": (0.741, 0.881),
            "best_rate": (0.1, 0.3),
            "by_epoch[0.1][:, -1].mean()": (0.911, 0.935),
            "np.ptp(by_epoch[0.1].mean(axis=0)[[0, -1]])": (0.01, 0.1),
            "np.ptp(by_epoch[0.03].mean(axis=0)[[0, -1]]) - np.ptp(by_epoch[0.1].mean(axis=0)[[0, -1]])": (0, 1),
            "min(by_epoch[rate][:, -1].mean() for rate in (0.03, 0.1)) - by_epoch[0.6][:, -1].mean()": (0, 1),
            "by_nodes[0].mean()": (0.31, 0.71),
            "by_nodes[1].mean()": (0.76, 0.92),
            "by_nodes[3].mean()": (0.906, 0.926),
            "by_nodes[5].mean()": (0.925, 0.941),
            "np.diff(by_nodes.mean(axis=1)).min()": (0, 1),
            "by_nodes[0].std(ddof=1) - by_nodes[5].std(ddof=1)": (0, 1),
            "before": (0.885, 0.905),
            "after": (0.9345, 0.9465),
        },
        score="after",
    ),
    "part3_class_computer": Claims(
        exercises={
            "minutes": "5",
            "friends": "10",
            "frequent": "np.bincount(asked.labels[nobody]).argmax()",
        },
        figures={
            "hand_out([3, 1, 1, 1, 2], 2) == [(0, 0, 3), (1, 0, 1), (1, 1, 2), (1, 2, 3), (0, 3, 5)]": (1, 1),
            "hand_out([3, 1, 2], 2, slow=4) == [(0, 0, 12), (1, 0, 1), (1, 1, 3)]": (1, 1),
            "[duration(hand_out([1] * 25, number)) for number in (1, 5, 6, 24, 30)] == [25, 5, 5, 2, 1]": (1, 1),
            "class_jobs.sum() / seconds.sum()": (48 - EXACT, 48 + EXACT),
            "(reckoned - class_jobs.sum() / 30) / class_jobs.max()": (0, 1),
            "right(alike).mean()": (0.8485, 0.8605),
            "together - right(alike).mean()": (0, 0.015),
            "alone.mean() - right(alike).mean()": (-0.01, 0.01),  # no better alone
            "vote": (0.8795, 0.8955),
            "vote - alone.max()": (0.003, 1),
            "abs(votes(different)[:, -1] - vote).max()": (0, 0.001),
            # The first ten do nearly all of it.
            "np.diff(votes(different).mean(axis=0)[[0, 5]])[0] - 0.7 * (vote - votes(different)[:, 0].mean())": (0, 1),
            "right(master).mean()": (0.895, 0.935),
            "right(master).mean() - vote": (0.005, 1),
        },
        score="vote",
    ),
    "part3_mnist_data_set_with_rotations": Claims(
        exercises={"quarter": "rotate(inputs, -90)", "label": "9"},
        figures={
            # Its upper rows move to the right, and then to the left.
            "np.average(np.arange(28), weights=clockwise.reshape(28, 28)[4:12].sum(axis=0) - 0.08)"
            " - np.average(np.arange(28), weights=anticlockwise.reshape(28, 28)[4:12].sum(axis=0) - 0.08)": (1, 9),
            "scores_upright[4]": (0.882, 0.922),
            "scores_turned[4]": (0.896, 0.936),
            "scores_turned[2] - scores_upright[2]": (0.02, 1),
            "scores_turned[6] - scores_upright[6]": (0.02, 1),
            "scores_upright[4] - scores_upright[6]": (0, 1),
            "scores_upright[6] - scores_upright[8]": (0, 1),
        },
        score="scores_turned[4]",
    ),
    "part3_neural_network_mnist_and_own_data": Claims(
        exercises={"ink": "55", "white": "(pixels == 0).sum()"},
        figures={
            "sum(framed_answers[name] == int(name[-1]) for name in names[:5])": (5, 5),
            "network.score(testing)": (0.9, 0.95),
            "scores[0]": (0.9, 1),
            "scores_used[0]": (0.89, 1),
            "scores_used[3] - scores[3]": (0.1, 1),
            "scores[0] - scores[-1]": (0.2, 1),
        },
        printed=[
            "{network.score(testing):.1%} of 1000 test digits",
        ],
        score="network.score(testing)",
    ),
    "part3_neural_network_mnist_and_own_data_2": Claims(
        exercises={"percent": "5", "number": "13"},
        figures={"pad.network is network": (1, 1), "len(mine)": (0, 0)},
    ),
    "part3_neural_network_mnist_backquery": Claims(
        exercises={"five": "network.backquery(targets_for(5))", "place": "(12, 10)"},
        figures={
            "score": (0.97, 0.976),
            # Where the dreams are dark, and where they are light, as the lesson says.
            "wishes_of(dreams[2]).reshape(28, 28)[19:23, 7:22].mean()": (0.04, 1),
            "wishes_of(dreams[5]).reshape(28, 28)[5:9, 18:24].mean()": (0.04, 1),
            "wishes_of(dreams[7]).reshape(28, 28)[6:10, 8:21].mean()": (0.04, 1),
            "wishes_of(dreams[0]).reshape(28, 28)[10:14, 14:17].mean()": (-1, -0.04),
            "wishes_of(dreams[9]).reshape(28, 28)[14:18, 5:11].mean()": (-1, -0.04),
            f"({ALIKE}.argmax(axis=1) == range(10)).sum()": (5, 9),  # dreams are not averages
            f"{ALIKE}.diagonal().mean()": (0.2, 0.55),
            "still_read['no blot']": (0.986, 0.996),
            "still_read['in a corner'] - still_read['no blot']": (-0.004, 0.004),
            "still_read['on the ring'] - still_read['no blot']": (-0.003, 1),
            "still_read['in the hole']": (0.57, 0.83),
        },
        printed=["It reads {score:.1%} of the", "in the hole? It is {round(100 * still_read['in the hole'], 1):g} %."],
        score="score",
    ),
    "part3_neural_network_mnist_backquery_2": Claims(
        exercises={"middle": "logit(0.5)", "wish": "[0.01, 0.01, 0.01, 0.5, 0.01, 0.01, 0.01, 0.01, 0.5, 0.01]"},
        figures={
            # Without their fog, most dreams are recognised, also by another network.
            "right": (1, 5),
            "clear_right": (8, 10),
            "np.median(clear_dreams)": (0, 0.05),
            "np.median(dreams)": (0.3, 1),
            "table['our network, read by another']": (5, 9),
            "table['fresh network, read by another']": (0, 2),
            "table['fresh network, read by itself']": (2, 10),
            "scores[0]": (0, 0.25),
            "scores[1]": (0.5, 1),
            "np.diff(scores).min()": (0, 1),
            "scores[3]": (0.908, 0.932),
            f"all((one.argmax(axis=1) == range(10)).all() for one in {EACH})": (1, 1),
            APART: (0.34, 0.58),
            f"{TOGETHER} - {APART}": (0.02, 1),  # the noise cancels out
        },
        score="network.score(testing)",
    ),
    "part3_neural_network_mnist_damage": Claims(
        exercises={"links": "784 + 10", "reddest": "2"},
        figures={
            "survived": (0, 0),
            "whole": (0.962, 0.972),
            "network.score(testing) - whole": (0, 0),
            "len(set(one_missing))": (4, 30),  # not always the same node
            "whole - min(one_missing)": (-1, 0.01),
            "abs(scores[:, 0] - whole).max()": (0, 0),
            "np.diff(scores.mean(axis=0)).max()": (-1, 0.01),
            "scores[:, 3].mean()": (0.87, 0.89),  # as the text says, of the network on the card
            "scores[:, 5].mean()": (0.75, 0.77),
            "scores[:, 9].mean()": (0.24, 0.42),
            "scores[:, 10].mean()": (0, 0.2),
            "scores[:, 6].std() / scores[:, 1].std()": (2, MOST),  # chance matters most in the middle
            "mistakes[2] / mistakes.sum()": (0.5, 1),
            "[*lines.values()][0][1][:, 5].mean()": (0.39, 0.63),
            "[*lines.values()][1][1][:, 5].mean() - [*lines.values()][0][1][:, 5].mean()": (0.08, 1),
            "[*lines.values()][2][1][:, 5].mean() - [*lines.values()][1][1][:, 5].mean()": (0, 1),
            "healing[:, 0].mean()": (0.51, 0.67),
            "healing[:, -1].mean()": (0.902, 0.932),
            "(healing[:, 3] - healing[:, 0]).mean()": (0.1, 1),  # after a hundred digits
            "(healing - learning).mean(axis=0).min()": (0, 1),
            "(healing[:, 3] - learning[:, 5]).mean()": (0, 1),  # more than a beginner learns from a thousand
            "learning[:, -1].mean()": (0.8, 1),
        },
        printed=["with a hundred digits? It is {round(100 * healing[:, 3].mean(), 1):g} %."],
        score="whole",
    ),
    "part3_neural_network_mnist_data_with_rotations": Claims(
        exercises={
            "steps": "3 * epochs * len(training)",
            "saved": "(mistakes_before - mistakes_after) / mistakes_before",
        },
        figures={
            "mistakes_before": (480, 600),
            "mistakes_after": (422, 582),
            "mistakes_before - mistakes_after": (1, 1000),
            "len(won) - len(lost) - mistakes_before + mistakes_after": (0, 0),
            "len(lost)": (80, 200),  # some digits get worse, too
            "scores[:, 0].min()": (0.94, 0.952),
            "scores[:, 2].max()": (0.94, 0.96),
            "(scores[:, 2] - scores[:, 0]).mean()": (0, 1),
            "(scores[:, 0] - scores[:, 4]).mean()": (0.002, 1),
        },
        printed=["It is {mistakes_after}. (You have not guessed.)"],
        score="scores.mean(axis=0).max()",
    ),
    "part3_whose_digits": Claims(
        exercises={
            "less": "100 * (from_office[:, 1] - from_office[:, 0]).mean()",
            "choice": '"both"',
        },
        figures={
            "both[:, 0].mean()": (0.884, 0.892),
            "both[:, 1].mean()": (0.937, 0.944),
            "from_school[:, 0].mean()": (0.886, 0.896),
            "from_school[:, 1].mean()": (0.884, 0.896),
            "from_office[:, 0].mean()": (0.838, 0.858),
            "from_office[:, 1].mean()": (0.9355, 0.942),
            f"({BY_AVERAGES})(office, test_office)": (0.862, 0.864),
            f"({BY_AVERAGES})(school, test_school)": (0.799, 0.801),
            "(school.pixels > 127).mean() / (office.pixels > 127).mean()": (0.86, 0.9),
            # With all of the office's digits, three networks.
            "np.mean([(one := NeuralNetwork(784, 50, 10, 0.1, seed=seed)).fit(office) or one.score(test_school)"
            " for seed in range(3)])": (0.865, 0.89),
        },
        printed=["It is {round(100 * from_office[:, 0].mean(), 1):g} %."],
        score="both.mean()",
    ),
    "part3_wrong_derivative": Claims(
        exercises={"slope": "((3 + tiny) ** 2 - (3 - tiny) ** 2) / (2 * tiny)", "sure": "0.99 * (1 - 0.99)"},
        figures={
            # What is measured is the formulas' slope, and some of the book's steps go uphill.
            "abs(book_who - who_downhill).max()": (0, EXACT),
            "abs(gradient_who - who_downhill).max()": (0, EXACT),
            "abs(gradient_wih - wih_downhill).max()": (0, EXACT),
            "abs(np.outer(errors, hidden) - who_surprise).max()": (0, EXACT),
            "abs(book_wih - wih_surprise).max()": (0, EXACT),
            "abs(book_wih / wih_downhill).min()": (2, MOST),
            "(book_wih * wih_downhill < 0).sum()": (1, 11),
            f"({RULES})['book'][0.1]": (0.858, 0.88),
            f"({RULES})['book'][1.0]": (0.709, 0.829),
            f"({RULES})['gradient'][0.02]": (0.629, 0.749),
            f"({RULES})['gradient'][0.5]": (0.857, 0.885),
            f"({RULES})['cross-entropy'][0.1]": (0.866, 0.894),
            f"({RULES})['cross-entropy'][1.0]": (0.41, 0.77),
            f"{BEST.format('book')} - {BEST.format('cross-entropy')}": (0, 1),
            f"{BEST.format('gradient')} - {BEST.format('book')}": (EXACT, 1),
            "np.ptp([rows.mean(axis=0).max() for rows in scores.values()])": (0, 0.02),
            # The book's rule corrects a confident mistake sooner.
            "min(story[0][0] for story in stories.values())": (0.9, 1),
            "max(story[0][1] for story in stories.values())": (0, 0.1),
            "min(story[-1][1] for story in stories.values())": (0.8, 1),
            "wins['book'] / wins['gradient']": (0, 0.7),
        },
        printed=["It is {(book_wih * wih_downhill < 0).sum()} weights.", "It is {wins['gradient']} times."],
        score="max(scores[rule].mean(axis=0).max() for rule in ('book', 'gradient'))",  # the third is behind More
    ),
}
# With a hundred drawings on the pad, of somebody whose digits lean.
DRAWN = Claims(
    exercises={},
    figures={
        "len(mine)": (100, 100),
        "used_to_me.score(held_out) - network.score(held_out)": (0.05, 1),
        "used_to_me.score(learning) - used_to_me.score(held_out)": (0, 1),
    },
    printed=["recognises {network.score(mine):.0%} of your 100", "{used_to_me.score(held_out):6.1%} now"],
    score="network.score(mine)",
)
