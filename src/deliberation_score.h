/*
 * deliberation_score.h
 *		How well reasoned is a text?  Counts over its words, scores from the counts.
 *
 * A text is read once, from its first character to its last, and nothing of it
 * is kept: not a sentence, not a word.  What remains are the counts below, and
 * in the middle of a word how far it agrees with the words that matter.  So the
 * work is linear in the text and the memory does not depend on it.
 *
 * Pure arithmetic: no locks, no PostgreSQL, no allocation.  Text is UTF-8;
 * lengths are in characters, except where bytes are said.
 */
#ifndef FS_DELIBERATION_SCORE_H
#define FS_DELIBERATION_SCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Limits that are no settings. */
#define DELIB_LONG_SENTENCE	50	/* characters; sentences of more are long */
#define DELIB_KEYWORD		4	/* characters a goal word has at least */
#define DELIB_HEDGES		3	/* as many may be in a text, more are an issue */
#define DELIB_REJECT_BELOW	0.3

typedef enum DelibPhase
{
	DELIB_PLAN, DELIB_DESIGN, DELIB_BUILD, DELIB_TEST, DELIB_DEPLOY,
	DELIB_PHASES,
	DELIB_NO_PHASE = DELIB_PHASES,	/* none is given */
	DELIB_UNKNOWN_PHASE
} DelibPhase;

typedef enum DelibRecommendation
{
	DELIB_PASS, DELIB_REVIEW, DELIB_FALLBACK, DELIB_REJECT
} DelibRecommendation;

extern const char *const DelibRecommendations[];

/* What is counted in a text. */
typedef struct DelibCounts
{
	int64_t		characters;		/* all of them */
	int64_t		sentences;
	int64_t		sentence_characters;	/* of all sentences, blanks around
										 * them not counted */
	int64_t		marked;			/* sentences with a step marker */
	int			issues;			/* kinds of logical issue seen, 0 … 4 */
	int64_t		off_topic;		/* long sentences without a goal word */
	bool		concludes;
	bool		justifies;
	bool		goal_given;		/* it has more than blanks */
	int			goal_words;		/* different ones of at least DELIB_KEYWORD
								 * characters */
	int			goal_found;
	DelibPhase	phase;
	int			phase_words;
	int			phase_found;
} DelibCounts;

/* The settings: weights need not sum to 1, but one of them is positive. */
typedef struct DelibRules
{
	double		depth_weight;
	double		coherence_weight;
	double		relevance_weight;
	double		min_depth;
	double		min_coherence;
	double		min_relevance;
	double		min_overall;
	int64_t		max_tokens;
} DelibRules;

/* Scores are 0 … 1 and not rounded. */
typedef struct DelibScores
{
	double		depth;
	double		coherence;
	double		relevance;
	double		overall;
	DelibRecommendation recommendation;
} DelibScores;

/* A word that matters: what a text's word tells that begins with it, or is it. */
typedef struct DelibWord
{
	const char *text;			/* without case */
	size_t		len;			/* bytes */
	uint64_t	begins;
	uint64_t	is;
	bool		found;
} DelibWord;

/* Words of a sorted list that agree with a word up to here: [lo, hi). */
typedef struct DelibWalk
{
	int			lo;
	int			hi;
	size_t		depth;			/* bytes */
} DelibWalk;

/* A text that is being read. */
typedef struct DelibScan
{
	DelibCounts counts;
	DelibWord  *goal;			/* sorted, no repeats */
	int			letters[27];	/* where the fixed words of each letter begin */
	uint64_t	seen;			/* what the words of all sentences tell */
	int64_t		hedges;
	/* the sentence */
	int64_t		length;			/* to its last character that is not blank; 0
								 * = has not begun */
	int64_t		blanks;			/* since then */
	uint64_t	told;			/* what its words tell */
	int			both;			/* how much of "both … and … neither" */
	/* the word */
	bool		in_word;
	DelibWalk	fixed_walk;
	DelibWalk	goal_walk;
	uint64_t	begins;
	uint64_t	before;			/* the word before, if only blanks are
								 * between; else 0 */
	uint64_t	before_that;
} DelibScan;

extern DelibPhase delib_phase(const char *name, size_t len);
extern size_t delib_goal_space(size_t goal_len);
extern void delib_begin(DelibScan *scan, DelibPhase phase, const char *goal, size_t goal_len,
						void *space);
extern void delib_read(DelibScan *scan, const char *text, size_t len);
extern void delib_end(DelibScan *scan);

extern int64_t delib_tokens(const DelibCounts *counts);
extern int64_t delib_steps(const DelibCounts *counts);
extern void delib_scores(const DelibCounts *counts, const DelibRules *rules, int64_t tokens,
						 DelibScores *scores);
extern int	delib_hundredths(double score);

#endif							/* FS_DELIBERATION_SCORE_H */
