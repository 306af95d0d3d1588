#include "haze/tools/corpus/restaurant_rules.h"

namespace haze {

const std::string_view kRestaurantPhrases = R"(
# ---- The place ----

<NP:T>       = a/DT <look> <type>
<type>       = {Type} <type-name>
<look>
  = 12 () | 2 small/JJ | 2 cosy/JJ | 2 quiet/JJ | 2 modern/JJ | lively/JJ | rustic/JJ | tiny/JJ
  | spacious/JJ | old/JJ | bright/JJ | relaxed/JJ | elegant/JJ | informal/JJ | candlelit/JJ
  | old-fashioned/JJ | busy/JJ
  | stylish/JJ | intimate/JJ | airy/JJ | unusual/JJ
<NP:place.L> = <NP:T> <post.L>
<post.L>     = 3 <loc> | 2 <VP:located.L>
<NP:T.M>     = 3 a/DT <look> <cuisine> <type> | 2 a/DT <ADJP:P> <type> | 2 a/DT <ADJP:P> <cuisine> <type>
<NP:T.R>     = a/DT <ADJP:R> <type>
<NP:T.K>
  = 4 {family friendly=yes} a/DT <look> <ADJP:kids> <type>
  | 2 {family friendly=no} a/DT <look> adults-only/JJ <type>
<NP:T.PR>
  = 2 a/DT <ADJP:PR> <type>
<ADJP:PR>
  = 2 <ADJP:R+> but/CC <ADJP:P-> | 2 <ADJP:P+> but/CC <ADJP:R-> | 2 <ADJP:P+> ,/, <ADJP:R+>
  | 1 <ADJP:P-> and/CC <ADJP:R->

<NP:name.T>  = <NP:name> ,/, <NP:T> ,/,
<NP:name.TL> = <NP:name> ,/, <NP:place.L> ,/,
<NP:name.TR> = <NP:name> ,/, <NP:T.R> ,/,
<NP:name.TK> = <NP:name> ,/, <NP:T.K> ,/,
<NP:name-place.L> = <NP:name> ,/, <NP:place.L>
<NP:name-place>   = 2 <NP:name> | <NP:name> ,/, <NP:T>
<NP:called.T>     = <NP:T> <VP:called>
<NP:called.TM>    = <NP:T.M> <VP:called>
<NP:called.TR>    = <NP:T.R> <VP:called>
<NP:called.TK>    = <NP:T.K> <VP:called>
<VP:called>       = 3 called/VBN <NP:name> | named/VBN <NP:name>
<VP:try>          = <try> <NP:name-place>
<VP:try.L>        = 2 <try> <NP:name> <loc> | <try> <NP:name-place.L>
<try>             = 3 try/VB | 2 visit/VB | go/VB to/IN
<VP:is-the-place> = is/VBZ <NP:the-place-to-go>
<NP:the-place-to-go> = the/DT place/NN <S:to-go>
<S:to-go>         = <VP:to-go>
<VP:to-go>        = to/TO <VP:go>
<VP:go>           = go/VB | be/VB | visit/VB

<NP:it>     = 9 it/PRP | this/DT <place-noun> | 2 the/DT <place-noun>
<place-noun> = 2 place/NN | 2 venue/NN | establishment/NN
<NP:object-it> = it/PRP
<NP:you>    = you/PRP
<NP:there>  = there/EX
<MD>        = 2 can/MD | will/MD
<that>      = <WHNP:that>
<WHNP:that> = 3 that/WDT | 2 which/WDT

# ---- L: location ----

<loc>      = 3 <PP:area> | 3 <PP:near> | 2 <PP:area.short> <PP:near.short> | 1 <PP:near.short> <PP:area.short>
<front.L>  = 3 <PP:area> | 2 <PP:near> | 1 <PP:area.short> <PP:near.short>
<VP:located.L> = 3 located/VBN <loc> | 2 situated/VBN <loc> | set/VBN <loc>
<VP:lies.L>    = 4 is/VBZ <VP:located.L> | 2 can/MD <VP:be-found.L> | stands/VBZ <loc> | is/VBZ <loc>
<VP:be-found.L> = be/VB <VP:found.L>
<VP:found.L>    = found/VBN <loc>
<PP:near>       = 3 <near.short> | 2 <near.long>
<PP:near.short> = <near.short>
<near.short>
  = 6 near/IN <landmark> | 3 close/JJ <PP:to.near> | 2 next/JJ <PP:to.near> | beside/IN <landmark>
  | opposite/IN <landmark>
<near.long>
  = 2 not/RB far/RB <PP:from.near> | 1 behind/IN <landmark> | 1 <NP:a-short-walk> <PP:from.near>
  | 1 across/IN <NP:the-street> <PP:from.near> | 1 within/IN <NP:sight-of-near>
<PP:to.near>      = to/IN <landmark>
<PP:from.near>    = from/IN <landmark>
<PP:of.near>      = of/IN <landmark>
<NP:sight-of-near> = <NP:sight> <PP:of.near>
<NP:a-short-walk> = a/DT short/JJ walk/NN
<NP:the-street>   = the/DT street/NN
<NP:sight>        = sight/NN | walking/NN distance/NN
<landmark>        = 3 <NP:landmark> | 2 <NP:the-landmark>

# ---- M: food and price ----

<vp.M>      = 4 <VP:F> | 4 <vp.P+> | 2 <vp.P0> | 3 <vp.P->
<vp.P+>     = 2 <VP:P+> | 3 <VP:serves.P+>
<vp.P0>     = 2 <VP:P0> | 3 <VP:serves.P0>
<vp.P->     = 2 <VP:P-> | 3 <VP:serves.P->
<VP:serves.M> = 4 <serves> <NP:food> | 3 <serves> <menu.P+> | 2 <serves> <menu.P0> | 2 <serves> <menu.P->
<serves>    = 4 serves/VBZ | 3 offers/VBZ | provides/VBZ
<VP:F>      = 4 <serves> <NP:food> | 1 specialises/VBZ <PP:in.F>
<PP:in.F>   = in/IN <NP:food>
<VP:serves.P+> = <serves> <menu.P+>
<VP:serves.P0> = <serves> <menu.P0>
<VP:serves.P-> = <serves> <menu.P->

<VP:P+> = 3 is/VBZ <ADJP:P+> | 2 has/VBZ <NP:prices+> | 2 charges/VBZ <NP:price+> <each>
<VP:P0> = 3 is/VBZ <ADJP:P0> | 2 has/VBZ <NP:prices0> | 2 charges/VBZ <NP:price0> <each>
<VP:P-> = 3 is/VBZ <ADJP:P-> | 2 has/VBZ <NP:prices-> | 2 charges/VBZ <NP:price-> <each>

<post.M>        = 3 <SBAR:that.M> | 3 <VP:serving.M>
<SBAR:that.M>   = <that> <S:vp.M>
<S:vp.M>        = <vp.M>
<VP:serving.M>  = <serving> <menu>
<serving>       = 3 serving/VBG | 2 offering/VBG
<menu>          = 4 <NP:food> | 4 <menu.P+> | 2 <menu.P0> | 2 <menu.P->
<menu.P+>       = 3 <NP:menu.FP+> | 1 <NP:meals-for.P+>
<menu.P0>       = 3 <NP:menu.FP0> | 1 <NP:meals-for.P0>
<menu.P->       = 3 <NP:menu.FP-> | 1 <NP:meals-for.P->
<NP:menu.FP+>   = 3 <ADJP:P+> <food-head> | 2 <NP:food> <PP:price+>
<NP:menu.FP0>   = 3 <ADJP:P0> <food-head> | 2 <NP:food> <PP:price0>
<NP:menu.FP->   = 2 <ADJP:P-> <food-head> | 3 <NP:food> <PP:price->
<NP:meals-for.P+> = <NP:meals> <PP:price+>
<NP:meals-for.P0> = <NP:meals> <PP:price0>
<NP:meals-for.P-> = <NP:meals> <PP:price->
<NP:meals>      = 2 meals/NNS | dishes/NNS | lunch/NN and/CC dinner/NN | food/NN
<menu-plain>    = 4 <NP:food> | 3 <NP:plain.FP>
<NP:plain.FP>   = <ADJP:P> <food-head>
<menu-wanted>   = 4 <NP:food> | 3 <NP:wanted.FP>
<NP:wanted.FP>  = 4 <ADJP:P+> <food-head> | 1 <ADJP:P0> <food-head>
<PP:for.M>      = for/IN <menu-wanted>
<SBAR:if.M>     = if/IN <S:you-want.M>
<S:you-want.M>  = <NP:you> <VP:want.M>
<VP:want.M>
  = 2 want/VBP <menu-wanted> | like/VBP <menu-wanted> | enjoy/VBP <menu-wanted>
  | are/VBP looking/VBG for/IN <menu-wanted>

<ADJP:P>   = 4 <price-word+> | 2 <price-word0> | 3 <price-word->
<ADJP:P+>  = <price-word+>
<ADJP:P0>  = <price-word0>
<ADJP:P->  = <price-word->
<price-word+>
  = 4 {price=cheap} cheap/JJ | 2 {price=cheap} affordable/JJ | 2 {price=cheap} inexpensive/JJ
  | {price=cheap} low-priced/JJ
<price-word0> = 3 {price=moderate} moderately/RB priced/VBN | 2 {price=moderate} mid-priced/JJ
<price-word->
  = 3 {price=high} expensive/JJ | {price=high} pricey/JJ | 2 {price=high} high-priced/JJ
  | {price=high} costly/JJ
<NP:prices+> = {price=cheap} low/JJ prices/NNS | {price=cheap} modest/JJ prices/NNS
<NP:prices0> = {price=moderate} moderate/JJ prices/NNS | {price=moderate} average/JJ prices/NNS
<NP:prices-> = {price=high} high/JJ prices/NNS | {price=high} steep/JJ prices/NNS
<PP:price+>  = 2 at/IN <NP:prices+> | 2 for/IN <NP:price+>
<PP:price0>  = 2 at/IN <NP:prices0> | 2 for/IN <NP:price0>
<PP:price->  = 2 at/IN <NP:prices-> | 2 for/IN <NP:price->
<NP:price+>  = {price} less/JJR than/IN £/$ <low-amount>
<NP:price0>  = {price} £/$ <amount-range>
<NP:price->  = {price} more/JJR than/IN £/$ <high-amount>
<each>       = 3 () | <NP:a-head> | <PP:per-head>
<NP:a-head>  = a/DT head/NN
<PP:per-head> = per/IN person/NN | per/IN head/NN
<NP:prices>  = 2 prices/NNS | 2 its/PRP$ prices/NNS | the/DT prices/NNS
<NP:costing> = 2 most/JJS dishes/NNS | main/JJ courses/NNS | its/PRP$ meals/NNS
<ADJP:low>   = 2 low/JJ | modest/JJ

# ---- R: customer rating ----

<vp.R>  = 5 <VP:R+> | 2 <VP:R0> | 3 <VP:R->
<VP:R+> = 3 <has> <NP:rating+> | 2 is/VBZ <VP:rated+>
<VP:R0> = 3 <has> <NP:rating0> | 2 is/VBZ <VP:rated0>
<VP:R-> = 3 <has> <NP:rating-> | 2 is/VBZ <VP:rated->
<has>   = 4 has/VBZ | holds/VBZ
<VP:rated+> = {customer rating=high} highly/RB rated/VBN | rated/VBN <NP:score+>
<VP:rated0> = rated/VBN <NP:score0>
<VP:rated-> = {customer rating=low} poorly/RB rated/VBN | rated/VBN <NP:score->
<PP:by-customers> = by/IN <NP:its-customers>
<NP:its-customers> = its/PRP$ <customer-noun>
<NP:customers> = 2 <customer-noun> | its/PRP$ <customer-noun>
<customer-noun> = 3 customers/NNS | guests/NNS | diners/NNS | visitors/NNS
<NP:reviews>   = 2 <reviews> | its/PRP$ <reviews> | the/DT <reviews>
<reviews>      = reviews/NNS | customer/NN reviews/NNS
<NP:its-rating> = 2 its/PRP$ customer/NN rating/NN | the/DT customer/NN rating/NN
<NP:rating+>
  = 3 {customer rating=high} a/DT high/JJ customer/NN rating/NN | 3 <NP:a-rating> <PP:of.score+>
  | 1 a/DT <star-word+> rating/NN
<NP:rating0>
  = 3 {customer rating=average} a/DT average/JJ customer/NN rating/NN | 3 <NP:a-rating> <PP:of.score0>
  | 1 a/DT <star-word0> rating/NN
<NP:rating->
  = 2 {customer rating=low} a/DT low/JJ customer/NN rating/NN
  | {customer rating=low} a/DT poor/JJ customer/NN rating/NN
  | 3 <NP:a-rating> <PP:of.score-> | 1 a/DT <star-word-> rating/NN
<NP:a-rating>   = a/DT customer/NN rating/NN
<PP:of.score+>  = of/IN <NP:score+>
<PP:of.score0>  = of/IN <NP:score0>
<PP:of.score->  = of/IN <NP:score->
<NP:score+>     = 2 {customer rating} 5/CD <PP:out-of-5> | 2 {customer rating} 4/CD <PP:out-of-5>
<NP:score0>     = {customer rating} 3/CD <PP:out-of-5>
<NP:score->     = {customer rating} 2/CD <PP:out-of-5> | {customer rating} 1/CD <PP:out-of-5>
<PP:out-of-5>   = out/IN of/IN 5/CD
<NP:stars+>
  = {customer rating=5 out of 5} five/CD stars/NNS | {customer rating=4 out of 5} four/CD stars/NNS
<NP:stars0>     = {customer rating=3 out of 5} three/CD stars/NNS
<NP:stars->     = {customer rating=2 out of 5} two/CD stars/NNS | {customer rating=1 out of 5} one/CD star/NN
<ADJP:R>        = 5 <rating-word+> | 2 <star-word0> | 3 <rating-word->
<ADJP:R+>       = <rating-word+>
<ADJP:R->       = <rating-word->
<rating-word+>
  = 3 {customer rating=high} highly/RB rated/VBN | {customer rating=high} top-rated/JJ | 2 <star-word+>
<rating-word->
  = 2 {customer rating=low} poorly/RB rated/VBN | {customer rating=low} low-rated/JJ | 2 <star-word->
<star-word+>    = {customer rating=5 out of 5} five-star/JJ | {customer rating=4 out of 5} four-star/JJ
<star-word0>    = {customer rating=3 out of 5} three-star/JJ
<star-word->    = {customer rating=2 out of 5} two-star/JJ | {customer rating=1 out of 5} one-star/JJ
<PP:with.R>     = 6 with/IN <NP:rating+> | 2 with/IN <NP:rating0> | 1 with/IN <NP:rating->
<SBAR:that.R>   = <that> <S:vp.R>
<S:vp.R>        = <vp.R>
<ADJP:excellent> = excellent/JJ | very/RB good/JJ | outstanding/JJ
<ADJP:mixed>    = mixed/JJ | neither/CC good/JJ nor/CC bad/JJ
<ADJP:poor>     = poor/JJ | bad/JJ | disappointing/JJ

# ---- K: are children welcome? ----

<vp.K>  = 4 <VP:K+> | 3 <VP:K->
<VP:K+>
  = 4 {family friendly=yes} is/VBZ <ADJP:kids>
  | 3 {family friendly=yes} welcomes/VBZ <NP:families>
  | 1 {family friendly=yes} is/VBZ <ADJP:suitable>
  | 1 {family friendly=yes} caters/VBZ <PP:for-families>
<VP:K->
  = 4 {family friendly=no} is/VBZ not/RB <ADJP:kids>
  | 2 {family friendly=no} does/VBZ not/RB <VP:welcome-families>
  | 1 {family friendly=no} is/VBZ <ADJP:unsuitable>
  | 1 {family friendly=no} caters/VBZ <PP:for-adults>
  | 1 {family friendly=no} is/VBZ <NP:no-place>
<ADJP:kids>           = 4 family-friendly/JJ | 2 child-friendly/JJ | kid-friendly/JJ
<ADJP:suitable>       = suitable/JJ <PP:for-families>
<ADJP:unsuitable>     = unsuitable/JJ <PP:for-families>
<PP:for-families>     = for/IN <NP:families>
<PP:for-adults>       = for/IN <NP:adults-only>
<NP:adults-only>      = adults/NNS only/RB
<VP:welcome-families> = welcome/VB <NP:families> | admit/VB <NP:families>
<NP:no-place>         = no/DT place/NN <PP:for-families>
<NP:families>
  = 3 families/NNS | 2 children/NNS | families/NNS <PP:with-children> | young/JJ families/NNS
<PP:with-children>    = with/IN children/NNS
<NP:kids>             = 3 children/NNS | 2 families/NNS | young/JJ children/NNS | kids/NNS
<NP:families-all>
  = 2 both/CC <locals> and/CC families/NNS | 2 parents/NNS and/CC children/NNS alike/RB
  | 1 families/NNS <PP:with-children>
  | 1 both/CC adults/NNS and/CC children/NNS | 1 young/JJ and/CC old/JJ alike/RB
<locals>              = 2 locals/NNS | tourists/NNS | couples/NNS | students/NNS
<visit>               = 2 visit/VBP | come/VBP to/IN | frequent/VBP
<enjoy>               = 2 enjoy/VBP | love/VBP | like/VBP
<ADJP:welcome>        = welcome/JJ
<SBAR:that.K>         = <that> <S:vp.K>
<S:vp.K>              = <vp.K>

# ---- Two or three of them joined ----

<VP:MR>
  = 6 <VP:F> and/CC <vp.R> | 1 <vp.P0> and/CC <vp.R>
  | 3 <vp.P+> and/CC <VP:R+> | 2 <vp.P+> but/CC <VP:R-> | 2 <vp.P-> but/CC <VP:R+> | 1 <vp.P-> and/CC <VP:R->
<VP:MK>
  = 6 <VP:F> and/CC <vp.K> | 1 <vp.P0> and/CC <vp.K>
  | 3 <vp.P+> and/CC <VP:K+> | 2 <vp.P+> but/CC <VP:K-> | 2 <vp.P-> but/CC <VP:K+> | 1 <vp.P-> and/CC <VP:K->
<VP:RK>
  = 3 <VP:R+> and/CC <VP:K+> | 2 <VP:K+> and/CC <VP:R+> | 2 <VP:R+> but/CC <VP:K-> | 1 <VP:K-> but/CC <VP:R+>
  | 2 <VP:R-> but/CC <VP:K+> | 1 <VP:K+> but/CC <VP:R-> | 1 <VP:R-> and/CC <VP:K-> | 1 <VP:R0> and/CC <vp.K>
<VP:MRK>
  = 3 <VP:F> ,/, <VP:R+> and/CC <VP:K+> | 1 <VP:F> ,/, <VP:R-> and/CC <VP:K->
  | 2 <VP:F> and/CC <VP:R+> but/CC <VP:K-> | 1 <VP:F> and/CC <VP:K+> but/CC <VP:R->
  | 2 <VP:P+> ,/, <VP:R+> and/CC <VP:K+> | 1 <VP:P-> ,/, <VP:R-> and/CC <VP:K->
<SBAR:that.MK> = <that> <S:vp.MK>
<S:vp.MK>      = <VP:MK>
)";

}  // namespace haze
