#include "haze/tools/corpus/restaurant_rules.h"

namespace haze {

const std::string_view kRestaurantTexts = R"(
fields: name | Type | food | price | customer rating | area | family friendly | near

# What a symbol says stands behind its dot: L location (area, near or both), M menu (food, price or both),
# R customer rating, K whether children are welcome, T the type; F food alone, P price alone. The first sentence
# says the name, the ones after it speak of "it". No letter occurs twice in a text, so no field is said twice.
# P, R and K end in + (in the place's favour), 0 or -, which decides between "and", "but" and "although".

<ROOT:text>
  = 9 <S:open.LM> | 4 <S:open.LR> | 4 <S:open.LK> | 3 <S:open.M> | 5 <S:open.MR> | 4 <S:open.MK>
  | 3 <S:open.RK>
  | 7 <S:open.LMR> | 7 <S:open.LMK> | 3 <S:open.LRK> | 3 <S:open.LMRK>
  | 2 <S:enjoy.LK> | 2 <S:enjoy.LK> <S:then.M>
  | 4 <S:open.L> <S:then.M>  | 2 <S:open.L> <S:then.R>  | 2 <S:open.L> <S:then.K>
  | 4 <S:open.L> <S:then.MR> | 4 <S:open.L> <S:then.MK> | 3 <S:open.L> <S:then.RK>
  | 4 <S:open.M> <S:then.L>  | 3 <S:open.M> <S:then.R>  | 3 <S:open.M> <S:then.K>
  | 4 <S:open.M> <S:then.LR> | 4 <S:open.M> <S:then.LK> | 4 <S:open.M> <S:then.RK>
  | 4 <S:open.LM> <S:then.R> | 4 <S:open.LM> <S:then.K> | 4 <S:short.LM> <S:then.RK>
  | 3 <S:open.LR> <S:then.M> | 2 <S:open.LR> <S:then.K>
  | 3 <S:open.LK> <S:then.M> | 2 <S:open.LK> <S:then.R>
  | 3 <S:open.MR> <S:then.L> | 2 <S:open.MR> <S:then.K>
  | 3 <S:open.MK> <S:then.L> | 2 <S:open.MK> <S:then.R>
  | 2 <S:open.RK> <S:then.L> | 2 <S:open.RK> <S:then.M>
  | 2 <S:open.L> <S:then.M> <S:then.R> | 2 <S:open.L> <S:then.M> <S:then.K>
  | 2 <S:open.L> <S:then.R> <S:then.M>
  | 2 <S:open.M> <S:then.L> <S:then.R> | 2 <S:open.M> <S:then.R> <S:then.K>
  | 2 <S:open.M> <S:then.K> <S:then.L>
  | 2 <S:short.LM> <S:then.R> <S:then.K> | 2 <S:short.LM> <S:then.K> <S:then.R>

# ---- The first sentence ----

<S:open.L>
  = 4 <NP:name> <VP:is-place.L> ./.
  | 2 <NP:there> <VP:there-is.TL> ./.
  | 2 <front.L> ,/, <NP:there> <VP:there-is.T> ./.
  | 2 <VP:located.L> ,/, <NP:name> <VP:is.T> ./.
  | 2 <NP:name> <VP:lies.L> ./.
  | 1 <NP:you> <VP:will-find.L> ./.
<VP:is-place.L>   = is/VBZ <NP:place.L>
<VP:is.T>         = is/VBZ <NP:T>
<VP:there-is.TL>  = is/VBZ <NP:called.T> <loc>
<VP:there-is.T>   = is/VBZ <NP:called.T>
<VP:will-find.L>  = <MD> <VP:find.L>
<VP:find.L>       = find/VB <NP:name> <loc>

<S:open.M>
  = 4 <NP:name> <VP:is-place.M> ./.
  | 3 <NP:name> <vp.M> ./.
  | 2 <NP:name.T> <vp.M> ./.
  | 2 <PP:for.M> ,/, <VP:try> ./.
  | 2 <SBAR:if.M> ,/, <NP:name> <VP:is-the-place> ./.
<VP:is-place.M>   = 2 is/VBZ <NP:T.M> | 3 is/VBZ <NP:place.M>
<NP:place.M>      = <NP:T> <post.M>

<S:open.LM>
  = 5 <NP:name> <VP:is-place.LM> ./.
  | 3 <NP:name> <VP:serves.LM> ./.
  | 3 <NP:name.TL> <vp.M> ./.
  | 2 <front.L> ,/, <NP:name> <VP:serves.M> ./.
  | 2 <VP:located.L> ,/, <NP:name> <vp.M> ./.
  | 2 <NP:there> <VP:there-is.LM> ./.
  | 2 <PP:for.M> ,/, <VP:try.L> ./.
  | 2 <SBAR:if.M> ,/, <VP:try.L> ./.
<VP:is-place.LM>  = 3 is/VBZ <NP:place.LM> | 2 is/VBZ <NP:T.M> <loc>
<NP:place.LM>     = <NP:place.L> <post.M>
<VP:serves.LM>    = <serves> <menu-plain> <loc>
<VP:there-is.LM>  = 2 is/VBZ <NP:called.TM> <loc> | is/VBZ <NP:called.T> <loc> <post.M>

# For texts that go on for long.
<S:short.LM>
  = 3 <NP:name> <VP:serves.LM> ./.
  | 2 <NP:name> <VP:is-T.LM> ./.
  | 2 <front.L> ,/, <NP:name> <VP:serves.M> ./.
<VP:is-T.LM>      = is/VBZ <NP:T.M> <loc>

<S:open.LR>
  = 4 <NP:name> <VP:is-place.LR> ./.
  | 3 <NP:name.TL> <vp.R> ./.
  | 2 <NP:there> <VP:there-is.LR> ./.
  | 2 <VP:located.L> ,/, <NP:name> <vp.R> ./.
  | 1 <front.L> ,/, <NP:there> <VP:there-is.R> ./.
<VP:is-place.LR>  = is/VBZ <NP:T.R> <loc>
<VP:there-is.LR>  = is/VBZ <NP:called.TR> <loc>
<VP:there-is.R>   = is/VBZ <NP:called.TR>

<S:open.LK>
  = 3 <NP:name> <VP:is-place.LK> ./.
  | 3 <NP:name.TL> <vp.K> ./.
  | 2 <NP:there> <VP:there-is.LK> ./.
  | 2 <VP:located.L> ,/, <NP:name> <vp.K> ./.
  | 2 {family friendly=yes} <NP:families-all> <VP:visit.TL> ./.
  | 1 {family friendly=yes} <NP:kids> <VP:are-welcome-at.TL> ./.
  | 1 {family friendly=no} <NP:kids> <VP:are-not-welcome-at.TL> ./.
<VP:is-place.LK>          = 3 is/VBZ <NP:T.K> <loc> | 2 is/VBZ <NP:place.L> <SBAR:that.K>
<VP:there-is.LK>          = is/VBZ <NP:called.TK> <loc>
<VP:visit.TL>             = <visit> <NP:name-place.L>
<VP:are-welcome-at.TL>    = are/VBP <ADJP:welcome> <PP:at.TL>
<VP:are-not-welcome-at.TL> = are/VBP not/RB <ADJP:welcome> <PP:at.TL>
<PP:at.TL>                = at/IN <NP:name-place.L>

# Kept from low ratings: nobody enjoys a place with poor reviews.
<S:enjoy.LK>              = {family friendly=yes} <NP:families-all> <VP:enjoy.TL> ./.
<VP:enjoy.TL>             = <enjoy> <NP:name-place.L>

<S:open.MR>
  = 3 <NP:name> <VP:is-place.MR> ./.
  | 3 <NP:name> <VP:MR> ./.
  | 2 <NP:name.T> <VP:MR> ./.
  | 2 <NP:name.TR> <VP:serves.M> ./.
  | 2 <PP:with.R> ,/, <NP:name> <VP:serves.M> ./.
  | 2 <NP:name> <VP:is-place.PR> ./.
<VP:is-place.MR>  = is/VBZ <NP:place.MR>
<NP:place.MR>     = <NP:T.R> <post.M>
<VP:is-place.PR>  = is/VBZ <NP:T.PR>

<S:open.MK>
  = 3 <NP:name> <VP:is-place.MK> ./.
  | 3 <NP:name> <VP:MK> ./.
  | 2 <NP:name.T> <VP:MK> ./.
  | 2 <NP:name.TK> <VP:serves.M> ./.
  | 1 {family friendly=yes} <NP:families-all> <VP:can-enjoy.M> ./.
<VP:is-place.MK>  = is/VBZ <NP:place.MK>
<NP:place.MK>     = <NP:T.K> <post.M>
<VP:can-enjoy.M>   = <MD> <VP:enjoy.M>
<VP:enjoy.M>    = enjoy/VB <menu-wanted> <PP:at.T>
<PP:at.T>         = at/IN <NP:name-place>

<S:open.RK>
  = 3 <NP:name> <VP:is-place.RK> ./.
  | 2 <NP:name> <VP:RK> ./.
  | 2 <NP:name.T> <VP:RK> ./.
  | 2 <NP:name.TR> <vp.K> ./.
<VP:is-place.RK>  = is/VBZ <NP:place.RK>
<NP:place.RK>     = 2 <NP:T.R> <SBAR:that.K> | 2 <NP:T.K> <SBAR:that.R>

<S:open.LMR>
  = 3 <NP:name> <VP:is-place.LMR> ./.
  | 2 <NP:name.TL> <VP:MR> ./.
  | 2 <VP:located.L> ,/, <NP:name> <VP:MR> ./.
  | 2 <PP:with.R> ,/, <NP:name> <VP:serves.LM> ./.
  | 1 <front.L> ,/, <NP:name.TR> <VP:serves.M> ./.
<VP:is-place.LMR> = is/VBZ <NP:place.LMR>
<NP:place.LMR>    = <NP:place.LR> <post.M>
<NP:place.LR>     = <NP:T.R> <loc>

<S:open.LMK>
  = 3 <NP:name> <VP:is-place.LMK> ./.
  | 2 <NP:name.TL> <VP:MK> ./.
  | 2 <VP:located.L> ,/, <NP:name> <VP:MK> ./.
  | 1 <front.L> ,/, <NP:name.TK> <VP:serves.M> ./.
<VP:is-place.LMK> = is/VBZ <NP:place.LMK>
<NP:place.LMK>    = <NP:place.LK> <post.M>
<NP:place.LK>     = <NP:T.K> <loc>

<S:open.LRK>
  = 3 <NP:name> <VP:is-place.LRK> ./.
  | 2 <NP:name.TL> <VP:RK> ./.
  | 2 <VP:located.L> ,/, <NP:name> <VP:RK> ./.
<VP:is-place.LRK> = is/VBZ <NP:place.LRK>
<NP:place.LRK>    = <NP:place.LR> <SBAR:that.K>

<S:open.LMRK>
  = 2 <NP:name.TL> <VP:MRK> ./.
  | 2 <VP:located.L> ,/, <NP:name> <VP:MRK> ./.
  | 2 <NP:name> <VP:is-place.LMRK> ./.
<VP:is-place.LMRK> = is/VBZ <NP:place.LMRK>
<NP:place.LMRK>   = <NP:place.LR> <SBAR:that.MK>

# ---- The sentences after it ----

<S:then.L>
  = 4 <NP:it> <VP:lies.L> ./.
  | 2 <NP:you> <VP:will-find-it.L> ./.
<VP:will-find-it.L> = <MD> <VP:find-it.L>
<VP:find-it.L>    = find/VB <NP:object-it> <loc>

<S:then.M> = 5 <c.F> ./. | 4 <c.P+> ./. | 2 <c.P0> ./. | 3 <c.P-> ./. | 3 <c.FP> ./.
<S:then.R> = 5 <c.R+> ./. | 2 <c.R0> ./. | 3 <c.R-> ./.
<S:then.K> = 4 <c.K+> ./. | 3 <c.K-> ./.

<S:then.LR> = 2 <NP:it> <VP:LR> ./. | 2 <VP:located.L> ,/, <NP:it> <vp.R> ./.
<S:then.LK> = 2 <NP:it> <VP:LK> ./. | 2 <VP:located.L> ,/, <NP:it> <vp.K> ./.
<VP:LR>     = <VP:lies.L> and/CC <vp.R>
<VP:LK>     = <VP:lies.L> and/CC <vp.K>

<S:then.MR> = 4 <NP:it> <VP:MR> ./. | 2 <both.PR>
<S:then.MK> = 4 <NP:it> <VP:MK> ./. | 2 <both.PK>
<S:then.RK> = 4 <NP:it> <VP:RK> ./. | 4 <both.RK>

# Two clauses about things in favour and against: "Although it is cheap , children are not welcome ."
<both.PR>
  = 2 <SBAR:although.P+> ,/, <c.R-> ./. | 3 <SBAR:although.P-> ,/, <c.R+> ./.
  | 1 <S:c.P+> ,/, but/CC <S:c.R-> ./.  | 2 <S:c.P+> and/CC <S:c.R+> ./.
<both.PK>
  = 2 <SBAR:although.P+> ,/, <c.K-> ./. | 3 <SBAR:although.P-> ,/, <c.K+> ./.
  | 1 <S:c.P+> ,/, but/CC <S:c.K-> ./.  | 2 <S:c.P+> and/CC <S:c.K+> ./.
<both.RK>
  = 2 <SBAR:although.R+> ,/, <c.K-> ./. | 2 <SBAR:although.R-> ,/, <c.K+> ./.
  | 2 <S:c.R+> ,/, but/CC <S:c.K-> ./.  | 1 <S:c.R-> ,/, but/CC <S:c.K+> ./.
  | 3 <S:c.R+> and/CC <S:c.K+> ./.      | 1 <S:c.K-> ,/, and/CC <S:c.R-> ./.
  | 2 <S:c.R+> and/CC <S:enjoy.K+> ./.
<S:enjoy.K+>       = {family friendly=yes} <NP:families-all> <VP:enjoy-it>
<VP:enjoy-it>      = <enjoy> <NP:object-it>
<SBAR:although.P+> = <although> <S:c.P+>
<SBAR:although.P-> = <although> <S:c.P->
<SBAR:although.R+> = <although> <S:c.R+>
<SBAR:although.R-> = <although> <S:c.R->
<although>         = 3 although/IN | while/IN | though/IN
<S:c.P+> = <c.P+>
<S:c.P-> = <c.P->
<S:c.R+> = <c.R+>
<S:c.R-> = <c.R->
<S:c.K+> = <c.K+>
<S:c.K-> = <c.K->

# ---- Clauses ----

<c.F>
  = 4 <NP:it> <VP:F> | 2 <NP:F.singular> <VP:is-served> | 2 <NP:F.plural> <VP:are-served>
  | 1 <NP:the-menu> <VP:features.F>
<VP:is-served>  = 2 is/VBZ <VP:served> | is/VBZ <ADJP:available>
<VP:are-served> = 2 are/VBP <VP:served> | are/VBP <ADJP:available>
<VP:served>     = served/VBN <ADVP:here>
<ADJP:available> = available/JJ <ADVP:here>
<ADVP:here>     = here/RB
<NP:the-menu>   = the/DT menu/NN
<VP:features.F> = features/VBZ <NP:food>
<c.FP>
  = <NP:it> <VP:serves.P+> | <NP:it> <VP:serves.P0> | <NP:it> <VP:serves.P->

<c.P+> = 3 <NP:it> <VP:P+> | 2 <NP:prices> <VP:are-low> | 2 <NP:costing> <VP:cost.P+>
<c.P0> = 3 <NP:it> <VP:P0> | 2 <NP:prices> <VP:are-moderate> | 2 <NP:costing> <VP:cost.P0>
<c.P-> = 3 <NP:it> <VP:P-> | 2 <NP:prices> <VP:are-high> | 2 <NP:costing> <VP:cost.P->
<VP:are-low>      = {price=cheap} are/VBP <ADJP:low>
<VP:are-moderate> = {price=moderate} are/VBP moderate/JJ | {price=moderate} are/VBP average/JJ
<VP:are-high>     = {price=high} are/VBP high/JJ | {price=high} are/VBP steep/JJ
<VP:cost.P+>      = cost/VBP <NP:price+> <each>
<VP:cost.P0>      = cost/VBP <NP:price0> <each>
<VP:cost.P->      = cost/VBP <NP:price-> <each>

<c.R+>
  = 3 <NP:it> <VP:R+> | <NP:it> <VP:is-rated-by.R+> | 2 <NP:customers> <VP:rate.R+>
  | <NP:reviews> <VP:are.R+> | <NP:its-rating> <VP:is.R+>
<c.R0>
  = 3 <NP:it> <VP:R0> | 2 <NP:customers> <VP:rate.R0> | <NP:reviews> <VP:are.R0>
  | <NP:its-rating> <VP:is.R0>
<c.R->
  = 3 <NP:it> <VP:R-> | <NP:it> <VP:is-rated-by.R-> | 2 <NP:customers> <VP:rate.R->
  | <NP:reviews> <VP:are.R-> | <NP:its-rating> <VP:is.R->
<VP:is-rated-by.R+> = is/VBZ <VP:rated-by.R+>
<VP:is-rated-by.R-> = is/VBZ <VP:rated-by.R->
<VP:rated-by.R+>    = <VP:rated+> <PP:by-customers>
<VP:rated-by.R->    = <VP:rated-> <PP:by-customers>
<VP:rate.R+> = rate/VBP <NP:object-it> <NP:score+> | give/VBP <NP:object-it> <NP:stars+>
<VP:rate.R0> = rate/VBP <NP:object-it> <NP:score0> | give/VBP <NP:object-it> <NP:stars0>
<VP:rate.R-> = rate/VBP <NP:object-it> <NP:score-> | give/VBP <NP:object-it> <NP:stars->
<VP:are.R+>  = {customer rating=high} are/VBP <ADJP:excellent>
<VP:are.R0>  = {customer rating=average} are/VBP <ADJP:mixed>
<VP:are.R->  = {customer rating=low} are/VBP <ADJP:poor>
<VP:is.R+>   = {customer rating=high} is/VBZ high/JJ | is/VBZ <NP:score+>
<VP:is.R0>   = {customer rating=average} is/VBZ average/JJ | is/VBZ <NP:score0>
<VP:is.R->   = {customer rating=low} is/VBZ low/JJ | is/VBZ <NP:score->

<c.K+>
  = 3 <NP:it> <VP:K+>
  | 2 {family friendly=yes} <NP:kids> <VP:are-welcome>
  | 1 {family friendly=yes} <NP:families-all> <VP:visit-it>
<c.K->
  = 3 <NP:it> <VP:K->
  | 2 {family friendly=no} <NP:kids> <VP:are-not-welcome>
<VP:are-welcome>     = are/VBP <ADJP:welcome> <here>
<VP:are-not-welcome> = are/VBP not/RB <ADJP:welcome> <here>
<here>               = 2 () | <ADVP:here>
<VP:visit-it>        = visit/VBP <NP:object-it> | come/VBP <ADVP:here> | eat/VBP <ADVP:here>
)";

}  // namespace haze
