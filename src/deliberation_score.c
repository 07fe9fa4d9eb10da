/*
 * deliberation_score.c
 *		How well reasoned is a text?  See deliberation_score.h.
 *
 * A sentence ends at '.', '!' or '?', or with the text; what has only blanks is
 * none.  A word is a run of letters, digits, marks and underscores.  Words that
 * matter are in sorted lists: the fixed ones below, and those of the goal.
 * While a word is read, the part of each list that agrees with it so far is
 * narrowed byte by byte; so no word is copied, however long it is, and words
 * that begin with a listed one are seen as well as those that are one.
 *
 * A phrase is words with nothing but blanks between.  Its last word asks the
 * two before it.
 *
 * "x … y" is a word x and, later in the same sentence, a word y.  A kind of
 * issue counts once, however often the text shows it.
 */
#include "deliberation_score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

/* What a word tells.  Bits from PHASE_WORD on are the phases' words in the order of the phases. */
#define BIT(n)			(UINT64_C(1) << (n))
#define STEP			BIT(0)
#define CONCLUDES		BIT(1)
#define JUSTIFIES		BIT(2)
#define HEDGES			BIT(3)
#define HOWEVER			BIT(4)
#define BUT				BIT(5)	/* but, although, though */
#define NEVER			BIT(6)	/* not, never, no */
#define ALWAYS			BIT(7)	/* always, must, definitely */
#define BOTH			BIT(8)
#define AND				BIT(9)	/* and, but */
#define NEITHER			BIT(10)
/* parts of phrases */
#define P_A				BIT(11)
#define P_AS			BIT(12)
#define P_RESULT		BIT(13)
#define P_IN			BIT(14)
#define P_CONCLUSION	BIT(15) /* conclusion, summary */
#define P_TO			BIT(16)
#define P_SUM			BIT(17)
#define P_UP			BIT(18)
#define P_DUE			BIT(19)
#define P_GIVEN			BIT(20)
#define P_THAT			BIT(21)
#define P_BASED			BIT(22)
#define P_ON			BIT(23)
#define P_COULD			BIT(24)
#define P_BE			BIT(25)
#define P_SEEMS			BIT(26)
#define P_LIKE			BIT(27)
#define P_USER			BIT(28)
#define P_STORY			BIT(29)
#define GOAL_WORD		BIT(30)
#define PHASE_WORD(n)	BIT(31 + (n))

static const int phase_words[DELIB_PHASES] = {5, 5, 5, 5, 4};
static const char *const phase_names[DELIB_PHASES] = {"plan", "design", "build", "test", "deploy"};

const char *const DelibRecommendations[] = {"pass", "review", "fallback", "reject"};

/* The words, in the order of their bytes. */
#define FIXED_WORD(word, begins, is) {word, sizeof(word) - 1, begins, is, false}

static const DelibWord fixed[] = {
	FIXED_WORD("a", 0, P_A),
	FIXED_WORD("although", 0, BUT),
	FIXED_WORD("always", 0, ALWAYS),
	FIXED_WORD("and", 0, AND),
	FIXED_WORD("api", PHASE_WORD(6), 0),
	FIXED_WORD("architecture", PHASE_WORD(5), 0),
	FIXED_WORD("as", 0, JUSTIFIES | P_AS),
	FIXED_WORD("assert", PHASE_WORD(16), 0),
	FIXED_WORD("based", 0, P_BASED),
	FIXED_WORD("be", 0, P_BE),
	FIXED_WORD("because", STEP, JUSTIFIES),
	FIXED_WORD("both", 0, BOTH),
	FIXED_WORD("but", 0, BUT | AND),
	FIXED_WORD("class", PHASE_WORD(13), 0),
	FIXED_WORD("code", PHASE_WORD(11), 0),
	FIXED_WORD("conclusion", 0, P_CONCLUSION),
	FIXED_WORD("consequently", STEP, CONCLUDES),
	FIXED_WORD("considering", 0, JUSTIFIES),
	FIXED_WORD("could", 0, P_COULD),
	FIXED_WORD("coverage", PHASE_WORD(19), 0),
	FIXED_WORD("definitely", 0, ALWAYS),
	FIXED_WORD("deploy", PHASE_WORD(20), 0),
	FIXED_WORD("due", 0, P_DUE),
	FIXED_WORD("endpoint", PHASE_WORD(7), 0),
	FIXED_WORD("environment", PHASE_WORD(23), 0),
	FIXED_WORD("feature", PHASE_WORD(2), 0),
	FIXED_WORD("first", STEP, 0),
	FIXED_WORD("function", PHASE_WORD(12), 0),
	FIXED_WORD("given", 0, P_GIVEN),
	FIXED_WORD("goal", PHASE_WORD(3), 0),
	FIXED_WORD("however", 0, HOWEVER),
	FIXED_WORD("implement", PHASE_WORD(10), 0),
	FIXED_WORD("in", 0, P_IN),
	FIXED_WORD("like", 0, P_LIKE),
	FIXED_WORD("maybe", 0, HEDGES),
	FIXED_WORD("might", 0, HEDGES),
	FIXED_WORD("model", PHASE_WORD(9), 0),
	FIXED_WORD("module", PHASE_WORD(14), 0),
	FIXED_WORD("must", 0, ALWAYS),
	FIXED_WORD("neither", 0, NEITHER),
	FIXED_WORD("never", 0, NEVER),
	FIXED_WORD("next", STEP, 0),
	FIXED_WORD("no", 0, NEVER),
	FIXED_WORD("not", 0, NEVER),
	FIXED_WORD("objective", PHASE_WORD(4), 0),
	FIXED_WORD("on", 0, P_ON),
	FIXED_WORD("perhaps", 0, HEDGES),
	FIXED_WORD("possibly", 0, HEDGES),
	FIXED_WORD("production", PHASE_WORD(22), 0),
	FIXED_WORD("release", PHASE_WORD(21), 0),
	FIXED_WORD("requirement", PHASE_WORD(0), 0),
	FIXED_WORD("result", P_RESULT, P_RESULT),
	FIXED_WORD("schema", PHASE_WORD(8), 0),
	FIXED_WORD("second", STEP, 0),
	FIXED_WORD("seems", 0, P_SEEMS),
	FIXED_WORD("since", STEP, JUSTIFIES),
	FIXED_WORD("step", STEP, 0),
	FIXED_WORD("story", P_STORY, 0),
	FIXED_WORD("sum", 0, P_SUM),
	FIXED_WORD("summary", 0, P_CONCLUSION),
	FIXED_WORD("test", PHASE_WORD(15), 0),
	FIXED_WORD("that", 0, P_THAT),
	FIXED_WORD("then", STEP, 0),
	FIXED_WORD("therefore", STEP, CONCLUDES),
	FIXED_WORD("third", STEP, 0),
	FIXED_WORD("though", 0, BUT),
	FIXED_WORD("thus", STEP, CONCLUDES),
	FIXED_WORD("to", 0, P_TO),
	FIXED_WORD("up", 0, P_UP),
	FIXED_WORD("user", 0, P_USER),
	FIXED_WORD("validate", PHASE_WORD(17), 0),
	FIXED_WORD("verify", PHASE_WORD(18), 0),
};

#define NFIXED ((int) (sizeof(fixed) / sizeof(fixed[0])))

/* The phrases: the two words before the last (0 = any), the last, what it tells then. */
typedef struct Phrase
{
	uint64_t	before_that;
	uint64_t	before;
	uint64_t	begins;			/* the last word only has to begin with it */
	uint64_t	is;				/* or be it */
	uint64_t	tells;
} Phrase;

static const Phrase phrases[] = {
	{P_AS, P_A, P_RESULT, 0, STEP},
	{P_AS, P_A, 0, P_RESULT, CONCLUDES},
	{0, P_IN, 0, P_CONCLUSION, CONCLUDES},
	{P_TO, P_SUM, 0, P_UP, CONCLUDES},
	{0, P_DUE, 0, P_TO, JUSTIFIES},
	{0, P_GIVEN, 0, P_THAT, JUSTIFIES},
	{0, P_BASED, 0, P_ON, JUSTIFIES},
	{0, P_COULD, 0, P_BE, HEDGES},
	{0, P_SEEMS, 0, P_LIKE, HEDGES},
	{0, P_USER, P_STORY, 0, PHASE_WORD(1)},
};

#define NPHRASES ((int) (sizeof(phrases) / sizeof(phrases[0])))

/* Kinds of issue. */
#define ISSUE_HOWEVER	1
#define ISSUE_NEVER		2
#define ISSUE_BOTH		4

/* ---------- a word against a sorted list ---------- */

/* The first entry of [lo, hi) whose byte at `depth` is not below c. */
static int
lower_bound(const DelibWord *words, int lo, int hi, size_t depth, int c)
{
	while (lo < hi)
	{
		int			mid = lo + (hi - lo) / 2;

		if ((unsigned char) words[mid].text[depth] < c)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/*
 * One byte more of the word.  Returns the entry that the word now begins with,
 * or NULL.  In a sorted list the entry that ends here is the first of those
 * that agree.
 */
static const DelibWord *
walk(DelibWalk *w, const DelibWord *words, unsigned char c)
{
	if (w->lo < w->hi && words[w->lo].len == w->depth)
		w->lo++;
	if (w->hi - w->lo == 1)
		w->lo += (unsigned char) words[w->lo].text[w->depth] != c;
	else
	{
		w->lo = lower_bound(words, w->lo, w->hi, w->depth, c);
		w->hi = lower_bound(words, w->lo, w->hi, w->depth, c + 1);
	}
	w->depth++;
	return w->lo < w->hi && words[w->lo].len == w->depth ? &words[w->lo] : NULL;
}

/* The fixed words that a word with this first byte may be: the search for it is most of the work. */
static void
first_byte(DelibScan *scan, unsigned char c)
{
	bool		letter = c >= 'a' && c <= 'z';

	scan->fixed_walk.lo = letter ? scan->letters[c - 'a'] : 0;
	scan->fixed_walk.hi = letter ? scan->letters[c - 'a' + 1] : 0;
	scan->fixed_walk.depth = 0;
	scan->goal_walk = (DelibWalk)
	{
		0, scan->counts.goal_words, 0
	};
}

/* One character more of the word. */
static void
word_character(DelibScan *scan, uint32_t c)
{
	unsigned char bytes[FS_UTF8_MAX];
	size_t		n;

	if (scan->in_word && scan->fixed_walk.lo == scan->fixed_walk.hi &&
		scan->goal_walk.lo == scan->goal_walk.hi)
		return;					/* agrees with none */
	n = fs_utf8_encode(fs_utf8_fold(c), bytes);
	if (!scan->in_word)
	{
		scan->in_word = true;
		scan->begins = 0;
		first_byte(scan, bytes[0]);
	}
	for (size_t i = 0; i < n; i++)
	{
		const DelibWord *hit = walk(&scan->fixed_walk, fixed, bytes[i]);

		if (hit)
			scan->begins |= hit->begins;
		hit = walk(&scan->goal_walk, scan->goal, bytes[i]);
		if (hit)
		{
			scan->begins |= GOAL_WORD;
			scan->counts.goal_found += !hit->found;
			scan->goal[hit - scan->goal].found = true;
		}
	}
}

/* ---------- words, sentences ---------- */

static void
end_word(DelibScan *scan)
{
	const DelibWalk *w = &scan->fixed_walk;
	uint64_t	is = 0;
	uint64_t	tells;

	if (!scan->in_word)
		return;
	scan->in_word = false;
	if (w->lo < w->hi && fixed[w->lo].len == w->depth)
		is = fixed[w->lo].is;
	tells = scan->begins | is;
	for (int i = 0; i < NPHRASES && scan->before != 0 && tells != 0; i++)
	{
		const Phrase *p = &phrases[i];

		if (((p->begins & scan->begins) || (p->is & is)) && (p->before & scan->before) &&
			(p->before_that == 0 || (p->before_that & scan->before_that)))
			tells |= p->tells;
	}
	scan->before_that = scan->before;
	scan->before = is;

	if (tells & HEDGES)
		scan->hedges++;
	if ((tells & BUT) && (scan->told & HOWEVER))
		scan->counts.issues |= ISSUE_HOWEVER;
	if ((tells & ALWAYS) && (scan->told & NEVER))
		scan->counts.issues |= ISSUE_NEVER;
	if ((tells & NEITHER) && scan->both == 2)
		scan->counts.issues |= ISSUE_BOTH;
	else if ((tells & AND) && scan->both == 1)
		scan->both = 2;
	else if ((tells & BOTH) && scan->both == 0)
		scan->both = 1;
	scan->told |= tells;
}

static void
end_sentence(DelibScan *scan)
{
	if (scan->length > 0)
	{
		scan->counts.sentences++;
		scan->counts.sentence_characters += scan->length;
		if (scan->told & STEP)
			scan->counts.marked++;
		if (scan->counts.goal_words > 0 && scan->length > DELIB_LONG_SENTENCE &&
			!(scan->told & GOAL_WORD))
			scan->counts.off_topic++;
	}
	scan->seen |= scan->told;
	scan->told = 0;
	scan->both = 0;
	scan->length = 0;
	scan->blanks = 0;
	scan->before = scan->before_that = 0;
}

/* delib_read: the next characters of the text, whole ones. */
void
delib_read(DelibScan *scan, const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *) text;
	const unsigned char *end = s + len;

	while (s < end)
	{
		uint32_t	c;

		s += fs_utf8_decode(s, end - s, &c);
		scan->counts.characters++;
		if (c == '.' || c == '!' || c == '?')
		{
			end_word(scan);
			end_sentence(scan);
		}
		else if (fs_utf8_is_space(c))
		{
			end_word(scan);
			scan->blanks++;
		}
		else
		{
			scan->length += 1 + (scan->length > 0 ? scan->blanks : 0);
			scan->blanks = 0;
			if (fs_utf8_is_word(c))
				word_character(scan, c);
			else
			{
				end_word(scan);
				scan->before = scan->before_that = 0;
			}
		}
	}
}

/* ---------- begin and end ---------- */

/* delib_phase: the phase of that name in any case, blanks around it ignored. */
DelibPhase
delib_phase(const char *name, size_t len)
{
	while (len > 0 && (name[0] == ' ' || (name[0] >= '\t' && name[0] <= '\r')))
		name++, len--;
	while (len > 0 && (name[len - 1] == ' ' || (name[len - 1] >= '\t' && name[len - 1] <= '\r')))
		len--;
	if (len == 0)
		return DELIB_NO_PHASE;
	for (int p = 0; p < DELIB_PHASES; p++)
	{
		size_t		i = 0;

		while (i < len && fs_utf8_fold((unsigned char) name[i]) == (unsigned char) phase_names[p][i])
			i++;
		if (i == len && phase_names[p][i] == '\0')
			return p;
	}
	return DELIB_UNKNOWN_PHASE;
}

static int
compare_words(const void *a, const void *b)
{
	const DelibWord *x = a;
	const DelibWord *y = b;
	int			cmp = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);

	return cmp != 0 ? cmp : (x->len > y->len) - (x->len < y->len);
}

/* delib_goal_space: bytes that delib_begin needs for a goal of so many bytes. */
size_t
delib_goal_space(size_t goal_len)
{
	/*
	 * words and what separates them; a letter without its case can need half
	 * as much again
	 */
	return (goal_len / (DELIB_KEYWORD + 1) + 1) * sizeof(DelibWord) + 2 * goal_len;
}

/*
 * delib_begin: before a text.  `space` (delib_goal_space(goal_len) bytes,
 * aligned as malloc does) gets the words of the goal and stays until delib_end.
 */
void
delib_begin(DelibScan *scan, DelibPhase phase, const char *goal, size_t goal_len, void *space)
{
	const unsigned char *s = (const unsigned char *) goal;
	const unsigned char *end = s + goal_len;
	DelibWord  *words = space;
	unsigned char *to = (unsigned char *) (words + goal_len / (DELIB_KEYWORD + 1) + 1);
	unsigned char *word = to;
	int			letters = 0;
	int			n = 0;
	int			distinct = 0;

	memset(scan, 0, sizeof(DelibScan));
	scan->goal = words;
	for (int letter = 0; letter <= 26; letter++)
		scan->letters[letter] = lower_bound(fixed, 0, NFIXED, 0, 'a' + letter);
	scan->counts.phase = phase;
	scan->counts.phase_words = phase < DELIB_PHASES ? phase_words[phase] : 0;
	while (s <= end)
	{
		uint32_t	c = ' ';

		if (s < end)
			s += fs_utf8_decode(s, end - s, &c);
		else
			s++;
		if (!fs_utf8_is_space(c))
			scan->counts.goal_given = true;
		if (fs_utf8_is_word(c))
		{
			letters++;
			to += fs_utf8_encode(fs_utf8_fold(c), to);
			continue;
		}
		if (letters >= DELIB_KEYWORD)
		{
			DelibWord	found = {(char *) word, to - word, GOAL_WORD, 0, false};

			words[n++] = found;
		}
		else
			to = word;
		word = to;
		letters = 0;
	}
	qsort(words, n, sizeof(DelibWord), compare_words);
	for (int i = 0; i < n; i++)
		if (distinct == 0 || compare_words(&words[i], &words[distinct - 1]) != 0)
			words[distinct++] = words[i];
	scan->counts.goal_words = distinct;
}

/* delib_end: after the text; the counts are complete. */
void
delib_end(DelibScan *scan)
{
	DelibCounts *c = &scan->counts;
	int			kinds = 0;
	int			first = 0;

	end_word(scan);
	end_sentence(scan);
	for (int k = c->issues; k != 0; k &= k - 1)
		kinds++;
	c->issues = kinds + (scan->hedges > DELIB_HEDGES);
	c->concludes = (scan->seen & CONCLUDES) != 0;
	c->justifies = (scan->seen & JUSTIFIES) != 0;
	for (int p = 0; p < DELIB_PHASES && p < (int) c->phase; p++)
		first += phase_words[p];
	for (int i = 0; i < c->phase_words; i++)
		c->phase_found += (scan->seen & PHASE_WORD(first + i)) != 0;
}

/* ---------- scores ---------- */

/* delib_tokens: an estimate, four characters each. */
int64_t
delib_tokens(const DelibCounts *counts)
{
	return counts->characters / 4;
}

/* delib_steps: sentences with a step marker, but at least a third of all, in whole sentences. */
int64_t
delib_steps(const DelibCounts *counts)
{
	int64_t		third = (counts->sentences + 2) / 3;

	return counts->marked > third ? counts->marked : third;
}

/* Is a score below a limit?  What arithmetic in binary adds or loses does not count. */
static bool
below(double score, double limit)
{
	return score < limit - 1e-9;
}

/*
 * delib_scores: the scores of a text and what to do with it.  The weights are
 * divided by their sum, which is positive.
 */
void
delib_scores(const DelibCounts *counts, const DelibRules *rules, int64_t tokens,
			 DelibScores *scores)
{
	double		steps = counts->sentences / 3.0;
	double		goal = 0.5;
	double		phase = 0.5;

	if (steps < counts->marked)
		steps = counts->marked;
	scores->depth = (steps < 5 ? steps / 5 : 1) * 0.5 + (counts->concludes ? 0.2 : 0) +
		(counts->justifies ? 0.2 : 0);
	if (counts->sentence_characters > DELIB_LONG_SENTENCE * counts->sentences)
		scores->depth += 0.1;

	scores->coherence = 1 - 0.15 * counts->issues - 0.1 * counts->off_topic;
	if (scores->coherence < 0)
		scores->coherence = 0;

	if (counts->goal_words > 0)
		goal = (double) counts->goal_found / counts->goal_words;
	if (counts->phase_words > 0)
		phase = (double) counts->phase_found / counts->phase_words;
	scores->relevance = 0.6 * goal + 0.4 * phase;
	if (!counts->goal_given && counts->phase == DELIB_NO_PHASE)
		scores->relevance = 0.8;

	scores->overall = (rules->depth_weight * scores->depth +
					   rules->coherence_weight * scores->coherence +
					   rules->relevance_weight * scores->relevance) /
		(rules->depth_weight + rules->coherence_weight + rules->relevance_weight);

	if (tokens > rules->max_tokens)
		scores->recommendation = DELIB_FALLBACK;
	else if (below(scores->depth, DELIB_REJECT_BELOW) ||
			 below(scores->coherence, DELIB_REJECT_BELOW) ||
			 below(scores->relevance, DELIB_REJECT_BELOW) ||
			 below(scores->overall, DELIB_REJECT_BELOW))
		scores->recommendation = DELIB_REJECT;
	else if (below(scores->depth, rules->min_depth) ||
			 below(scores->coherence, rules->min_coherence) ||
			 below(scores->relevance, rules->min_relevance) ||
			 below(scores->overall, rules->min_overall))
		scores->recommendation = DELIB_REVIEW;
	else
		scores->recommendation = DELIB_PASS;
}

/* delib_hundredths: a score as it is shown, in hundredths; halves go up. */
int
delib_hundredths(double score)
{
	return (int) floor(score * 100 + 0.5 + 1e-9);
}
