/*
 * test_deliberation_score.c
 *		Reasoning quality: counts and scores of chosen texts, random texts against
 *		a slow count of the same things, and large ones.  Prints TAP.
 *
 * The slow count copies every word of every sentence and compares strings.
 */
#include "../../src/deliberation_score.h"
#include "../../src/utf8.h"
#include "tap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const DelibRules rules = {
	.depth_weight = 0.35, .coherence_weight = 0.35, .relevance_weight = 0.30,
	.min_depth = 0.6, .min_coherence = 0.6, .min_relevance = 0.6, .min_overall = 0.6,
	.max_tokens = 2000
};

/* ---------- what is tested ---------- */

static DelibCounts
count_in_pieces(const char *text, size_t len, const char *goal, DelibPhase phase, size_t piece)
{
	DelibScan	scan;
	void	   *space = malloc(delib_goal_space(strlen(goal)));

	delib_begin(&scan, phase, goal, strlen(goal), space);
	while (len > 0)
	{
		size_t		n = piece < len ? piece : len;

		while (n < len && (text[n] & 0xC0) == 0x80)
			n++;
		delib_read(&scan, text, n);
		text += n;
		len -= n;
	}
	delib_end(&scan);
	free(space);
	scan.goal = NULL;
	return scan.counts;
}

static DelibCounts
count(const char *text, const char *goal, DelibPhase phase)
{
	return count_in_pieces(text, strlen(text), goal, phase, (size_t) -1);
}

static DelibCounts
plain(const char *text)
{
	return count(text, "", DELIB_NO_PHASE);
}

static bool
has_step(const char *text)
{
	return plain(text).marked == 1;
}

static int
issues(const char *text)
{
	return plain(text).issues;
}

static DelibScores
score(const char *text, const char *goal, DelibPhase phase)
{
	DelibCounts c = count(text, goal, phase);
	DelibScores s;

	delib_scores(&c, &rules, delib_tokens(&c), &s);
	return s;
}

static bool
near(double a, double b)
{
	return fabs(a - b) < 1e-9;
}

/* ---------- the slow count ---------- */

static const char *const steps[] = {"first", "second", "third", "next", "then", "therefore", "thus",
"consequently", "because", "since", "as a result", "step", NULL};
static const char *const conclusions[] = {"in conclusion", "therefore", "thus", "consequently",
"as a result", "in summary", "to sum up", NULL};
static const char *const reasons[] = {"because", "since", "as", "due to", "given that",
"considering", "based on", NULL};
static const char *const hedges[] = {"maybe", "perhaps", "possibly", "might", "could be",
"seems like", NULL};
static const char *const phases[DELIB_PHASES][6] = {
	{"requirement", "user story", "feature", "goal", "objective", NULL},
	{"architecture", "api", "endpoint", "schema", "model", NULL},
	{"implement", "code", "function", "class", "module", NULL},
	{"test", "assert", "validate", "verify", "coverage", NULL},
	{"deploy", "release", "production", "environment", NULL, NULL}
};

static bool
is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/*
 * Does the sentence (lower case) have the phrase at a place where a word
 * begins?  Blanks of the phrase stand for one or more of any kind.
 */
static const char *
find(const char *sentence, const char *phrase, bool whole)
{
	for (const char *s = sentence; *s; s++)
	{
		const char *t = s;
		const char *p = phrase;

		if (s > sentence && is_word(s[-1]))
			continue;
		while (*p && *t)
			if (*p == ' ' && (*t == ' ' || *t == '\n'))
			{
				while (*t == ' ' || *t == '\n')
					t++;
				p++;
			}
			else if (*p == *t)
				p++, t++;
			else
				break;
		if (*p == '\0' && !(whole && is_word(*t)))
			return s;
	}
	return NULL;
}

static bool
any(const char *sentence, const char *const *list, bool whole)
{
	for (; *list; list++)
		if (find(sentence, *list, whole))
			return true;
	return false;
}

/* x … y: is one of `second` after one of `first`? */
static bool
after(const char *sentence, const char *const *first, const char *const *second)
{
	for (; *first; first++)
	{
		const char *at = find(sentence, *first, true);

		if (at && any(at + strlen(*first), second, true))
			return true;
	}
	return false;
}

static bool
both_neither(const char *sentence)
{
	const char *at = find(sentence, "both", true);
	const char *and = at ? find(at + 4, "and", true) : NULL;
	const char *but = at ? find(at + 4, "but", true) : NULL;

	return (and && find(and + 3, "neither", true)) || (but && find(but + 3, "neither", true));
}

static DelibCounts
slow_count(const char *text, const char *const *goal, int goal_words, DelibPhase phase)
{
	DelibCounts c = {.characters = (int64_t) strlen(text), .phase = phase,
	.goal_words = goal_words, .goal_given = goal_words > 0};
	bool		kind[3] = {false};
	bool		goal_found[8] = {false};
	bool		phase_found[5] = {false};
	int			nhedges = 0;
	static char sentence[20000];

	while (*text)
	{
		size_t		n = strcspn(text, ".!?");
		size_t		len = n;
		const char *from = text;
		bool		on_topic = false;

		text += n + (text[n] != '\0');
		while (len > 0 && (*from == ' ' || *from == '\n'))
			from++, len--;
		while (len > 0 && (from[len - 1] == ' ' || from[len - 1] == '\n'))
			len--;
		if (len == 0)
			continue;
		memcpy(sentence, from, len);
		sentence[len] = '\0';
		for (size_t i = 0; i < len; i++)
			if (sentence[i] >= 'A' && sentence[i] <= 'Z')
				sentence[i] += 'a' - 'A';

		c.sentences++;
		c.sentence_characters += len;
		c.marked += any(sentence, steps, false);
		c.concludes |= any(sentence, conclusions, true);
		c.justifies |= any(sentence, reasons, true);
		kind[0] |= after(sentence, (const char *const[]) {"however", NULL},
						 (const char *const[]) {"but", "although", "though", NULL});
		kind[1] |= after(sentence, (const char *const[]) {"not", "never", "no", NULL},
						 (const char *const[]) {"always", "must", "definitely", NULL});
		kind[2] |= both_neither(sentence);
		for (int i = 0; hedges[i]; i++)
			for (const char *at = sentence; (at = find(at, hedges[i], true)) != NULL; nhedges++)
				while (is_word(*at))
					at++;
		for (int i = 0; i < goal_words; i++)
			if (find(sentence, goal[i], false))
				goal_found[i] = on_topic = true;
		c.off_topic += goal_words > 0 && len > 50 && !on_topic;
		for (int i = 0; phase < DELIB_PHASES && phases[phase][i]; i++)
			phase_found[i] |= find(sentence, phases[phase][i], false) != NULL;
	}
	c.issues = kind[0] + kind[1] + kind[2] + (nhedges > 3);
	for (int i = 0; i < 8; i++)
		c.goal_found += goal_found[i];
	for (int i = 0; i < 5; i++)
		c.phase_found += phase_found[i];
	for (int i = 0; phase < DELIB_PHASES && phases[phase][i]; i++)
		c.phase_words++;
	return c;
}

static bool
same(const DelibCounts *a, const DelibCounts *b)
{
	return a->characters == b->characters && a->sentences == b->sentences &&
		a->sentence_characters == b->sentence_characters && a->marked == b->marked &&
		a->issues == b->issues && a->off_topic == b->off_topic && a->concludes == b->concludes &&
		a->justifies == b->justifies && a->goal_given == b->goal_given &&
		a->goal_words == b->goal_words && a->goal_found == b->goal_found &&
		a->phase == b->phase && a->phase_words == b->phase_words && a->phase_found == b->phase_found;
}

static bool
random_texts(int texts, bool *pieces_agree)
{
	static const char *const vocabulary[] = {"first", "Second", "latest", "then", "THUS", "thusly",
		"because", "as", "a", "result", "results", "in", "conclusion", "Conclusions", "summary", "to", "sum",
		"up", "due", "given", "that", "considering", "based", "on", "however", "but", "although",
		"though", "not", "never", "no", "nothing", "always", "must", "mustard", "definitely", "both",
		"and", "neither", "maybe", "perhaps", "possibly", "might", "could", "be", "seems", "like",
		"step", "stepwise", "user", "story", "testing", "contest", "api", "rapid", "models",
		"classified", "payment", "payments", "repayment", "ledger", "x", "the", "a_result", "42",
		"implementation", "verification", "goal", "environments", "producer"};
	static const char *const gaps[] = {" ", " ", " ", " ", "  ", "\n", ", ", "-", "'", ". ", "! ",
	"?", "... ", " (", " . "};
	static const char *const goal[] = {"goal", "implementation", "ledger", "payment"};
	char		text[20000];

	for (int t = 0; t < texts; t++)
	{
		int			words = rnd(40);
		bool		with_goal = rnd(2);
		DelibPhase	phase = rnd(DELIB_PHASES + 2);
		DelibCounts fast;
		DelibCounts slow;
		DelibCounts pieces;

		text[0] = '\0';
		for (int i = 0; i < words; i++)
		{
			strcat(text, vocabulary[rnd(sizeof(vocabulary) / sizeof(vocabulary[0]))]);
			strcat(text, gaps[rnd(sizeof(gaps) / sizeof(gaps[0]))]);
		}
		fast = count(text, with_goal ? "The Payment; a ledger, payment IMPLEMENTATION. goal" : "", phase);
		slow = slow_count(text, goal, with_goal ? 4 : 0, phase);
		pieces = count_in_pieces(text, strlen(text), with_goal ? "goal implementation ledger payment" : "",
								 phase, 1 + rnd(7));
		*pieces_agree &= same(&fast, &pieces);
		if (!same(&fast, &slow))
		{
			printf("# differs: %s\n", text);
			return false;
		}
	}
	return true;
}

/* ---------- large texts ---------- */

static DelibCounts
million(const char *unit, const char *goal)
{
	size_t		n = strlen(unit);
	size_t		times = 1000000 / n;
	char	   *text = malloc(times * n);
	DelibCounts c;

	for (size_t i = 0; i < times; i++)
		memcpy(text + i * n, unit, n);
	c = count_in_pieces(text, times * n, goal, DELIB_PLAN, 65536);
	free(text);
	return c;
}

/* ---------- tests ---------- */

static void
test_sentences(void)
{
	DelibCounts c = plain("One. Two!  Three?Four");

	ok(c.sentences == 4 && c.sentence_characters == 3 + 3 + 5 + 4, "sentences end at . ! ? and with the text");
	c = plain("Well... so?! (yes) .  \n . ");
	ok(c.sentences == 3, "between two ends is nothing, and blanks are nothing");
	c = plain("e.g. 3.14");
	ok(c.sentences == 4, "a point in an abbreviation or a number is an end like any other");
	c = plain("line one\nline two");
	ok(c.sentences == 1 && c.sentence_characters == 17, "a line does not end a sentence");
	c = plain("\t Größe ist eins \xE3\x80\x80.");
	ok(c.sentences == 1 && c.sentence_characters == 14 && c.characters == 19,
	   "lengths are characters, without the blanks around");
	c = plain("");
	ok(c.characters == 0 && c.sentences == 0 && delib_steps(&c) == 0 && delib_tokens(&c) == 0, "no text, no sentence");
	c = plain(" \n ");
	ok(c.characters == 3 && c.sentences == 0, "only blanks, no sentence");
	c = plain("1234567");
	ok(delib_tokens(&c) == 1, "a token is four characters, rounded down");
}

static void
test_steps(void)
{
	bool		all = true;
	char		text[100];
	DelibCounts c;

	for (int i = 0; steps[i]; i++)
	{
		snprintf(text, sizeof(text), "so %s it is", steps[i]);
		all &= has_step(text);
		snprintf(text, sizeof(text), "so %sly it is", steps[i]);
		all &= has_step(text);
		snprintf(text, sizeof(text), "so x%s it is", steps[i]);
		all &= !has_step(text);
		snprintf(text, sizeof(text), "so _%s it is", steps[i]);
		all &= !has_step(text);
		snprintf(text, sizeof(text), "so ä%s it is", steps[i]);
		all &= !has_step(text);
	}
	ok(all, "every step marker, where a word begins with it");
	ok(has_step("FIRST") && has_step("(then)") && has_step("x-step") && has_step("As  A\nResult"),
	   "in any case, after any sign, with any blanks");
	ok(!has_step("as, a result") && !has_step("as a. Result") && !has_step("as one result") &&
	   !has_step("the a result") && !has_step("footstep") && !has_step("thing"), "and not otherwise");
	ok(!has_step("ﬁrst") && has_step("ſtep"), "a ligature is another character, the long s is an s");
	c = plain("First then because. Next. Nothing here");
	ok(c.marked == 2 && delib_steps(&c) == 2, "a sentence counts once");
	c = plain("a. b. c. d. e. f. g");
	ok(c.marked == 0 && delib_steps(&c) == 3, "at least a third of the sentences, rounded up");
}

static void
test_marks(void)
{
	bool		all = true;
	char		text[100];

	for (int i = 0; conclusions[i]; i++)
	{
		snprintf(text, sizeof(text), "x. So %s: y", conclusions[i]);
		all &= plain(text).concludes;
		snprintf(text, sizeof(text), "x. So %ss: y", conclusions[i]);
		all &= !plain(text).concludes;
	}
	ok(all, "every conclusion, as whole words");
	all = true;
	for (int i = 0; reasons[i]; i++)
	{
		snprintf(text, sizeof(text), "x. So %s, y", reasons[i]);
		all &= plain(text).justifies;
		snprintf(text, sizeof(text), "x. So %sx, y", reasons[i]);
		all &= !plain(text).justifies;
	}
	ok(all, "every justification, as whole words");
	ok(plain("as a result").justifies && plain("as a result").concludes,
	   "\"as a result\" concludes, and its \"as\" justifies");
	ok(!plain("in the conclusion").concludes && !plain("due, to").justifies && !plain("based. On").justifies &&
	   !plain("has a result").justifies, "phrases have nothing between but blanks");
	ok(plain("IN CONCLUSION").concludes && plain("Due To").justifies, "in any case");
}

static void
test_issues(void)
{
	ok(issues("However, it works but slowly") == 1 && issues("however although") == 1 &&
	   issues("HOWEVER THOUGH") == 1, "however … but, although, though");
	ok(issues("It works but, however, slowly") == 0, "in this order");
	ok(issues("However it works. But slowly") == 0, "in one sentence");
	ok(issues("however, butter thoughts") == 0 && issues("howevers but") == 0, "as whole words");
	{
		static const char *const no[] = {"not", "never", "no"};
		static const char *const yes[] = {"always", "must", "definitely"};
		bool		all = true;

		for (int i = 0; i < 9; i++)
		{
			char		text[100];

			snprintf(text, sizeof(text), "It is %s here and %s there", no[i / 3], yes[i % 3]);
			all &= issues(text) == 1;
			snprintf(text, sizeof(text), "It is %s here. And %s there", no[i / 3], yes[i % 3]);
			all &= issues(text) == 0;
			snprintf(text, sizeof(text), "It is %s here and %s there", yes[i % 3], no[i / 3]);
			all &= issues(text) == 0;
		}
		ok(all, "not, never, no … always, must, definitely");
	}
	ok(issues("nothing must") == 0 && issues("cannot always") == 0 && issues("not mustered") == 0, "as whole words");
	ok(issues("both are fast and cheap, neither is") == 1 && issues("both but neither") == 1,
	   "both … and, but … neither");
	ok(issues("both are neither") == 0 && issues("both neither and") == 0 && issues("and both neither") == 0 &&
	   issues("both and. Neither") == 0 && issues("and neither") == 0, "in this order, in one sentence");
	ok(issues("maybe perhaps possibly") == 0 && issues("maybe perhaps possibly might") == 1 &&
	   issues("It could be. It might. It seems like it. Maybe") == 1, "more than 3 hedges in the text");
	ok(issues("maybe maybe maybe. Could, be. Seems. Likely mighty") == 0, "hedges as whole words and phrases");
	ok(issues("maybe maybe maybe maybe maybe maybe maybe maybe maybe") == 1, "however many");
	ok(issues("However but. However but. However but, and though") == 1, "a kind of issue counts once");
	ok(issues("However but. Not always. Both and neither. Maybe maybe maybe maybe") == 4, "there are four kinds");
	ok(issues("However both are not here but and must neither") == 3, "also in one sentence");
}

static void
test_goal(void)
{
	DelibCounts c = count("The payments ledger", "Payment; LEDGER (payment) and the api", DELIB_NO_PHASE);

	ok(c.goal_words == 2 && c.goal_found == 2 && c.goal_given, "words of more than 3 letters, each once");
	c = count("repayment unledger pay", "payment ledger", DELIB_NO_PHASE);
	ok(c.goal_words == 2 && c.goal_found == 0, "found where a word begins with them");
	c = count("GRÖSSE ÜBERALL", "über größe grösse", DELIB_NO_PHASE);
	ok(c.goal_words == 3 && c.goal_found == 2, "in any case, in UTF-8; the sharp s is no double s");
	c = count("Ведомости платежа", "ведомость ПЛАТЕЖ", DELIB_NO_PHASE);
	ok(c.goal_words == 2 && c.goal_found == 1, "in any script");
	c = count("test testing", "test tests testing tester", DELIB_NO_PHASE);
	ok(c.goal_words == 4 && c.goal_found == 2, "words that begin with each other");
	c = count("a database", "data zzzz database", DELIB_NO_PHASE);
	ok(c.goal_words == 3 && c.goal_found == 2, "whatever comes after them in the goal");
	c = count("x", "an api to do", DELIB_NO_PHASE);
	ok(c.goal_words == 0 && c.goal_given, "a goal of short words is given");
	c = count("x", " \n ", DELIB_NO_PHASE);
	ok(c.goal_words == 0 && !c.goal_given, "a blank one is not");
	c = count("This sentence is longer than that but has none of it. "
			  "So has this one, and it is quite long enough as well. Short one. "
			  "This one is long enough as well, but it has the payment in it.", "payment", DELIB_NO_PHASE);
	ok(c.sentences == 4 && c.off_topic == 2, "long sentences without a goal word are off-topic");
	c = count("12345678901234567890123456789012345678901234567890. "
			  "123456789012345678901234567890123456789012345678901", "payment", DELIB_NO_PHASE);
	ok(c.off_topic == 1, "long is more than 50 characters");
	c = count("ääääääääääääääääääääääääääääääääääääääääääääääääää", "payment", DELIB_NO_PHASE);
	ok(c.off_topic == 0 && c.sentence_characters == 50, "characters, not bytes");
	c = count("This sentence is longer than that but has none of it at all.", "do it", DELIB_NO_PHASE);
	ok(c.off_topic == 0, "nothing is off-topic where the goal has no words");
}

static void
test_phases(void)
{
	bool		all = true;

	for (int p = 0; p < DELIB_PHASES; p++)
	{
		int			n = 0;

		for (int i = 0; phases[p][i]; i++, n++)
		{
			char		text[100];
			DelibCounts c;

			snprintf(text, sizeof(text), "our %ss", phases[p][i]);
			c = count(text, "", p);
			all &= c.phase_found == 1;
			snprintf(text, sizeof(text), "our x%s", phases[p][i]);
			c = count(text, "", p);
			all &= c.phase_found == 0;
			snprintf(text, sizeof(text), "our %s", phases[p][i]);
			c = count(text, "", (p + 1) % DELIB_PHASES);
			all &= c.phase_found == 0;
		}
		all &= plain("").phase_words == 0 && count("", "", p).phase_words == n;
	}
	ok(all, "every word of every phase, where a word begins with it");
	ok(count("test tests. Testing. The TEST", "", DELIB_TEST).phase_found == 1, "each once");
	ok(count("latest contest", "", DELIB_TEST).phase_found == 0, "not in latest");
	ok(count("user. story", "", DELIB_PLAN).phase_found == 0 &&
	   count("User  storyline", "", DELIB_PLAN).phase_found == 1,
	   "a user story is a phrase");
	ok(delib_phase("plan", 4) == DELIB_PLAN && delib_phase(" DePloy\n", 8) == DELIB_DEPLOY, "phases in any case");
	ok(delib_phase("", 0) == DELIB_NO_PHASE && delib_phase("  ", 2) == DELIB_NO_PHASE &&
	   delib_phase("pla", 3) == DELIB_UNKNOWN_PHASE && delib_phase("plans", 5) == DELIB_UNKNOWN_PHASE &&
	   delib_phase("p\xC3\xA0", 3) == DELIB_UNKNOWN_PHASE, "others are unknown");
}

static void
test_scores(void)
{
	DelibScores s;
	DelibCounts c;
	DelibRules	r = rules;

	s = score("Nothing", "", DELIB_NO_PHASE);
	ok(near(s.depth, 0.5 / 15) && near(s.coherence, 1) && near(s.relevance, 0.8),
	   "a third of a sentence is a third of a step");
	ok(near(s.overall, 0.35 * 0.5 / 15 + 0.35 + 0.24) && s.recommendation == DELIB_REJECT, "not deep: rejected");
	s = score("First a. Then b. Next c. Second d. Third e. Step f", "", DELIB_NO_PHASE);
	ok(near(s.depth, 0.5), "five steps are enough");
	s = score("First a. Therefore b", "", DELIB_NO_PHASE);
	ok(near(s.depth, 0.4), "two steps and a conclusion");
	s = score("First a. As b", "", DELIB_NO_PHASE);
	ok(near(s.depth, 0.3) && s.recommendation == DELIB_REVIEW, "one step and a reason: 0.3 is not below 0.3");
	s = score("123456789012345678901234567890123456789012345678901", "", DELIB_NO_PHASE);
	ok(near(s.depth, 0.5 / 15 + 0.1), "long sentences");
	s = score("1234567890123456789012345678901234567890123456789012. 123456789012345678901234567890123456789012345678",
			  "", DELIB_NO_PHASE);
	ok(near(s.depth, 1.0 / 15), "50 on average are not more than 50");
	s = score("First a. Then b. Next c. Third it is so due to a reason that is long enough. "
			  "Therefore it is good, and this sentence needs to be a very long one to make up for the short ones "
			  "at the beginning, so here it goes on and on.",
			  "", DELIB_NO_PHASE);
	ok(near(s.depth, 0.5 + 0.2 + 0.2) && s.recommendation == DELIB_PASS, "0.5, a conclusion and a reason");
	ok(near(score("", "", DELIB_NO_PHASE).depth, 0), "an empty text has no depth");

	s = score("However but. Not always. Both and neither. Maybe maybe maybe maybe", "", DELIB_NO_PHASE);
	ok(near(s.coherence, 0.4), "0.15 for each issue");
	c = (DelibCounts) {.sentences = 30, .marked = 20, .concludes = true, .issues = 2,
	.off_topic = 4, .phase = DELIB_NO_PHASE};
	delib_scores(&c, &rules, 0, &s);
	ok(near(s.coherence, 0.3) && s.recommendation == DELIB_REVIEW,
	   "0.1 for each off-topic sentence; 0.3 is not below 0.3");
	c.off_topic = 5;
	delib_scores(&c, &rules, 0, &s);
	ok(near(s.coherence, 0.2) && s.recommendation == DELIB_REJECT, "below");
	c.off_topic = 50;
	delib_scores(&c, &rules, 0, &s);
	ok(s.coherence == 0, "never negative");

	ok(near(score("payment", "payment ledger", DELIB_NO_PHASE).relevance, 0.6 * 0.5 + 0.2),
	   "half of the goal, no phase");
	ok(near(score("payment", "payment ledger", DELIB_UNKNOWN_PHASE).relevance, 0.6 * 0.5 + 0.2),
	   "an unknown phase is as none");
	ok(near(score("goal", "", DELIB_PLAN).relevance, 0.3 + 0.4 / 5), "no goal, a fifth of the phase");
	ok(near(score("deploy the release to production", "", DELIB_DEPLOY).relevance, 0.3 + 0.3), "deploy has four words");
	ok(near(score("x", "to do", DELIB_NO_PHASE).relevance, 0.5), "a goal without words, no phase");
	ok(near(score("x", "", DELIB_UNKNOWN_PHASE).relevance, 0.5), "no goal, an unknown phase");
	ok(near(score("x", "", DELIB_NO_PHASE).relevance, 0.8), "neither");
	ok(near(score("payment goal", "payment goal", DELIB_PLAN).relevance, 0.6 + 0.4 / 5), "both");
	s = score("x", "payment ledger", DELIB_PLAN);
	ok(near(s.relevance, 0) && s.recommendation == DELIB_REJECT, "none of it");

	/* recommendations */
	c = (DelibCounts) {.sentences = 9, .marked = 5, .concludes = true, .phase = DELIB_NO_PHASE};
	delib_scores(&c, &r, 2000, &s);
	ok(s.recommendation == DELIB_PASS && near(s.overall, 0.35 * 0.7 + 0.35 + 0.24),
	   "passes, with as many tokens as there may be");
	delib_scores(&c, &r, 2001, &s);
	ok(s.recommendation == DELIB_FALLBACK, "one more is for a fallback");
	c.off_topic = 10;
	delib_scores(&c, &r, 2001, &s);
	ok(s.recommendation == DELIB_FALLBACK, "also where it would be rejected");
	c = (DelibCounts) {.sentences = 6, .marked = 6, .phase = DELIB_NO_PHASE};
	delib_scores(&c, &r, 0, &s);
	ok(near(s.depth, 0.5) && s.overall > 0.6 && s.recommendation == DELIB_REVIEW,
	   "one below its minimum is for review");
	r.min_depth = 0.5;
	delib_scores(&c, &r, 0, &s);
	ok(s.recommendation == DELIB_PASS, "not if the minimum is its score");
	r.min_coherence = 1;
	delib_scores(&c, &r, 0, &s);
	ok(s.recommendation == DELIB_PASS, "1 can be reached");
	c.issues = 1;
	delib_scores(&c, &r, 0, &s);
	ok(s.recommendation == DELIB_REVIEW, "minimum of coherence");
	r.min_coherence = 0.6;
	r.min_relevance = 0.9;
	delib_scores(&c, &r, 0, &s);
	ok(s.recommendation == DELIB_REVIEW, "minimum of relevance");
	r.min_relevance = 0.6;
	r.min_overall = 0.8;
	delib_scores(&c, &r, 0, &s);
	ok(s.recommendation == DELIB_REVIEW, "minimum of the overall score");
	r = rules;
	r.depth_weight = 1;
	r.coherence_weight = r.relevance_weight = 0;
	r.min_depth = 0;
	delib_scores(&c, &r, 0, &s);
	ok(near(s.overall, 0.5), "one weight alone");
	r.coherence_weight = r.relevance_weight = 1;
	delib_scores(&c, &r, 0, &s);
	ok(near(s.overall, (0.5 + 0.85 + 0.8) / 3), "weights are divided by their sum");
	c = (DelibCounts) {.sentences = 3, .marked = 1, .phase = DELIB_NO_PHASE};
	r = (DelibRules) {.depth_weight = 1, .max_tokens = 10};
	delib_scores(&c, &r, 0, &s);
	ok(near(s.depth, 0.1) && s.recommendation == DELIB_REJECT, "rejected whatever the minima are");

	ok(delib_hundredths(0) == 0 && delib_hundredths(1) == 100 && delib_hundredths(0.125) == 13 &&
	   delib_hundredths(0.5949) == 59 && delib_hundredths(0.285) == 29 && delib_hundredths(0.595) == 60,
	   "rounded to hundredths");
	ok(strcmp(DelibRecommendations[DELIB_PASS], "pass") == 0 &&
	   strcmp(DelibRecommendations[DELIB_REVIEW], "review") == 0 &&
	   strcmp(DelibRecommendations[DELIB_FALLBACK], "fallback") == 0 &&
	   strcmp(DelibRecommendations[DELIB_REJECT], "reject") == 0,
	   "names of the recommendations");
}

static void
test_large(void)
{
	DelibCounts c;
	char	   *goal = malloc(1000001);

	/* anything that looks back or again takes hours for these */
	c = million("x", "x");
	ok(c.characters == 1000000 && c.sentences == 1, "one word of a million letters");
	c = million("however ", "payment");
	ok(c.issues == 0 && c.off_topic == 1, "a beginning again and again, never its end");
	c = million("both and ", "payment");
	ok(c.issues == 0, "two of three");
	c = million("as a as a result as ", "as a result");
	ok(c.marked == 1, "phrases in phrases");
	c = million(" ", "payment");
	ok(c.sentences == 0 && c.characters == 1000000, "only blanks");
	c = million(".", "payment");
	ok(c.sentences == 0, "only ends");
	c = million("\xE4\xB8\x96", "\xE4\xB8\x96\xE4\xB8\x96\xE4\xB8\x96\xE4\xB8\x96");
	ok(c.characters == 333333 && c.goal_found == 1, "a million bytes of three each");

	for (int i = 0; i < 100000; i++)
		sprintf(goal + i * 10, "word%05d ", i);
	c = million("word wordy word000000 Word99999s, ", goal);
	ok(c.goal_words == 100000 && c.goal_found == 2, "a goal of a hundred thousand words");
	memset(goal, 'x', 1000000);
	c = million("xxxxxxxx xxxx ", goal);
	ok(c.goal_words == 1 && c.goal_found == 0, "a goal of one long word");
	free(goal);
}

int
main(void)
{
	bool		pieces_agree = true;

	test_sentences();
	test_steps();
	test_marks();
	test_issues();
	test_goal();
	test_phases();
	test_scores();
	ok(random_texts(20000, &pieces_agree), "random texts against the slow count");
	ok(pieces_agree, "the same in pieces, and with a goal in another order");
	test_large();

	return done_testing();
}
