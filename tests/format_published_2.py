"""A second table of schemas of published and exported data, blind to how formats are detected and to the first table.

Messier than the first: exports of support desks, shops, forums and judges. See `tests/format_published.py` for what an
entry is and `tests/published_values.py` for the notation of its columns.
"""

# ruff: noqa: RUF001
from tests.published_values import read_table

PUBLISHED_2 = read_table("""
# Customer relations and support
zendesk tickets: may pair/none: subject, description :: ticket_id=int 10000 99999; subject=h; description=b;
  status=open|pending|solved; priority=low|normal|high|urgent; channel=email|web|chat; created_at=iso
help desk replies: pair/none: customer_message, agent_response :: case_no=id C; customer_message=s20;
  agent_response=~~customer_message; agent_id=id a; handle_time_sec=int 30 2000; closed_at=iso
chat export: may single/none: utterance || single/class: utterance > speaker :: conversation_id=hash; turn=int 0 14;
  speaker=agent|customer; utterance=s
salesforce account dedupe: pair/binary|class: account_name_left, account_name_right > same_account @Y ::
  left_id=id 0; right_id=id 1; account_name_left=n; account_name_right=~account_name_left; same_account=Y|N
ticket routing: single/class: ticket_body > assigned_team :: ticket_body=b;
  assigned_team=Billing|Network|Access|Hardware; opened_at=iso
satisfaction with replies: ? pair/none: customer_question, agent_reply :: customer_question=q;
  agent_reply=~~customer_question; csat=int 1 5
jira links: pair/class: source_summary, target_summary > link_type :: source_key=id P; target_key=id Q;
  source_summary=h6; target_summary=~source_summary; link_type=Duplicate|Blocks|Relates|Cloners
call center summaries: pair/none: transcript, summary <> :: call_id=uuid; transcript=b80; summary=~transcript;
  duration=int 60 1800
nps verbatims: may single/none: verbatim :: verbatim=s; nps=int 0 10; segment=SMB|Enterprise|Midmarket; quarter=Q1|Q2
mail threads: may pair/none: email_body, reply_body :: message_id=hash; email_body=b; reply_body=~~email_body;
  from_addr=id f; sent=iso
knowledge base clicks: pair/binary: search_query, article_title > clicked :: session=hash; search_query=t3;
  article_title=h; clicked=0|1; ts=unix
knowledge base votes: may pair/none: question, article :: question=q; article=~~question; helpful_votes=int 0 400;
  unhelpful_votes=int 0 90
# Shops
impressions of a shop search: ? pair/none: query, product_title :: query=t3; product_title=h6; position=int 1 48;
  impressions=int 10 9000; clicks=int 0 300; add_to_cart=int 0 40
offers of two shops: pair/binary: title_left, title_right > label :: pair_id=id p; title_left=h8;
  title_right=~title_left; brand_left=5*n; brand_right=5*n; price_left=num 5 900; price_right=num 5 900; label=0|1
left and right tables: pair/binary: left_title, right_title > gold :: id=index; left_title=h8; left_manufacturer=5*n;
  left_price=num 5 900; right_title=~left_title; right_manufacturer=5*n; right_price=num 5 900; gold=0|1
substitutes and complements: ? :: product=h6; substitute=h6; complement=h6
judged product search: pair/class: query, product_title > judgement :: query_id=int 1 999; query=t3; product_title=h8;
  judgement=Perfect|Good|Fair|Bad
judged with digits in words: pair/class: query, item_name > relevance :: query=t3; item_name=h6;
  relevance=3 - highly relevant|2 - relevant|1 - partly relevant|0 - not relevant
questions about products: pair/none: question, answer :: asin=id B; question=q; answer=~question;
  questionType=yes/no|open-ended; answerTime=date
reviews with a title: may pair/none: review_title, review_body || single/class: review_body > stars :: review_id=id R;
  stars=int 1 5; review_title=h; review_body=b; verified_purchase=true|false; helpful_count=int 0 90
catalog with paths: single/class: title > category_path :: sku=id S; title=h8;
  category_path=Home > Kitchen > Pans|Home > Garden > Tools|Sport > Balls
bought together: ? pair/none: item_a, item_b :: item_a=h6; item_b=h6; co_purchases=int 1 5000; lift=float 0 30
price comparison: pair/similarity: our_title, competitor_title > match_confidence :: our_sku=id S; our_title=h8;
  competitor_title=~our_title; match_confidence=float 0 1; scraped_at=iso
returns: single/class: return_comment > reason_code :: order_id=id O; return_comment=s;
  reason_code=DEFECTIVE|WRONG_SIZE|CHANGED_MIND; refund_amount=num 5 300
attributes of a product: ? :: product_name=h6; attribute_name=color|material|size|brand; attribute_value=t2
# Work
resumes and jobs: pair/class: resume_text, job_description_text > label :: resume_text=b; job_description_text=b;
  label=Good Fit|Potential Fit|No Fit
occupations and skills: pair/class: occupation_label, skill_label > relation_type :: occupation_uri=url;
  occupation_label=t3; skill_uri=url; skill_label=t4; relation_type=essential|optional
hired or not: may pair/binary: candidate_profile, job_ad > hired :: candidate_profile=b; job_ad=b; hired=0|1
normalised titles: may pair/none: raw_title, normalized_title <> || single/class: raw_title > normalized_title ::
  raw_title=t4; normalized_title=6*t2; source=indeed|monster
job postings: may pair/none: title, description :: job_id=int 1000 99999; title=h; description=b; location=5*n;
  salary_min=int 30000 60000; salary_max=int 60000 120000; remote_allowed=0|1
interview scores: ? pair/similarity: job_summary, candidate_summary > interview_score :: job_summary=b;
  candidate_summary=b; interview_score=int 1 10; recruiter_comment=s
shortlists: list/binary list: job_ad, candidates > shortlisted :: job_ad=b; candidates=[b]6; shortlisted=[0|1]6
# Law
clauses against a standard: pair/class: standard_clause, contract_clause > deviation :: contract=id K;
  standard_clause=b; contract_clause=~~standard_clause; deviation=none|minor|material
citing paragraphs: pair/none: citing_paragraph, cited_case_summary <> :: citing_id=id c; citing_paragraph=b;
  cited_id=id d; cited_case_summary=~~citing_paragraph
treatment of cited cases: pair/class: citing_passage, cited_passage > treatment :: citing_passage=b; cited_passage=b;
  treatment=followed|distinguished|overruled|cited; year=int 1950 2023
statutes for questions: pair/none: legal_question, article_text :: legal_question=q; law=4*n; article_no=int 1 900;
  article_text=~~legal_question
policy segments: single/class: segment_text > category :: policy_uid=int 1 300; segment_id=int 0 40; segment_text=b;
  category=First Party Collection|Third Party Sharing|Data Retention|User Choice
contracts and hypotheses: pair/class: contract_excerpt, hypothesis > choice :: doc=id d; contract_excerpt=b;
  hypothesis=s; choice=Entailment|Contradiction|NotMentioned
patent examiners: pair/class: claim_text, prior_art_paragraph > examiner_code :: application=id U; claim_text=b;
  prior_art_paragraph=~~claim_text; examiner_code=X|Y|A
parts of a judgment: ? :: case_name=n; facts=b; holding=b; dissent=b
redlines: may pair/none: original_text, revised_text <> :: clause_no=int 1 90; original_text=b;
  revised_text=~~original_text; author=4*n; accepted=true|false
# Medicine
coded notes: may single/class: note > icd10_code || single/class: note > icd10_description ||
  pair/none: note, icd10_description :: note=b; icd10_code=J45.9|E11.9|I10|M54.5;
  icd10_description=map icd10_code asthma|type 2 diabetes|hypertension|low back pain
interactions of drugs: may pair/class: drug_a, drug_b > severity :: drug_a=n; drug_b=n; interaction_description=s;
  severity=major|moderate|minor
consumer health questions: pair/none: consumer_question, expert_answer :: qid=id q; consumer_question=q12;
  expert_answer=~~consumer_question; focus=5*n; source=NIH|CDC|FDA
patients and trials: pair/class: patient_summary, trial_criteria > eligibility :: nct_id=id N; patient_summary=b;
  trial_criteria=b; eligibility=eligible|excluded|not relevant
trials judged: may pair/similarity: patient_topic, trial_summary > qrel ||
  pair/class: patient_topic, trial_summary > qrel :: patient_topic=b; trial_summary=b; qrel=0|1|2
synonyms of terms: pair/none: preferred_term, synonym <> :: concept_id=int 1000 9999; preferred_term=t3; synonym=t3
literature judged alike: may pair/similarity: title1, title2 > relevance || pair/similarity: abstract1, abstract2 >
  relevance :: pmid1=int 100000 999999; title1=h8; abstract1=b; pmid2=int 100000 999999; title2=h8; abstract2=b;
  relevance=0|1|2
symptoms in words: single/class: patient_text > diagnosis :: patient_text=s20;
  diagnosis=migraine|asthma|psoriasis|diabetes|malaria
dialogues with doctors: may pair/none: Patient, Doctor || pair/none: Description, Doctor :: Description=q; Patient=b;
  Doctor=b; Specialty=cardiology|dermatology|neurology
adverse events: pair/none: verbatim_term, meddra_pt <> || single/class: verbatim_term > meddra_pt :: verbatim_term=t4;
  meddra_pt=10*t2; soc=Cardiac disorders|Eye disorders
# Code and logs
code search: pair/none: docstring, code <> :: repo=5*n; path=id p; func_name=w; docstring=s; code=code; url=url;
  language=|python; partition=train|valid
commits: pair/none: message, diff <> :: sha=hash; message=s; diff=b; author=5*n; committed_at=iso
clones: pair/binary: func1, func2 > label :: id1=int 1 9999; id2=int 1 9999; func1=code; func2=code; label=0|1
questions to sql: pair/none: question, query :: db_id=concert|flights|pets; question=q; query=sql;
  hardness=easy|medium|hard
crash reports: pair/binary|class: trace_a, trace_b > duplicate :: trace_a=b; trace_b=~~trace_a; duplicate=true|false;
  product=5*n
bugs and fixes: may pair/none: buggy_code, fixed_code <> :: project=5*n; bug_type=null_check|off_by_one|wrong_operator;
  buggy_code=code; fixed_code=code
review comments: may pair/none: diff_hunk, review_comment <> :: pr=int 1 900; diff_hunk=code; review_comment=s;
  resolved=true|false
accepted answers with votes: may pair/none: question_title, accepted_answer :: question_title=q; accepted_answer=b;
  answer_score=int 0 900; tags=[w]
answers high and low: may triplet/none: question, top_answer, low_answer :: question=q; top_answer=~~question;
  low_answer=~~question; top_votes=int 20 900; low_votes=int -5 0
log templates: may single/class: raw_line > event_id || pair/none: raw_line, template || single/class: raw_line >
  template :: line_no=index; raw_line=s; template=4*s; event_id=E1|E2|E3|E4
log anomalies: single/class: content > Label :: LineId=index; Date=date; Level=INFO|WARN|ERROR; component=4*w;
  content=s; Label=Normal|Anomaly
vulnerabilities: single/class: description > cwe_id :: cve_id=id C; description=b;
  cwe_id=CWE-79|CWE-89|CWE-416|CWE-787; cvss=float 0 10; published=date
errors and solutions: pair/none: error_message, solution :: error_message=s; solution=b; os=linux|windows|macos;
  upvotes=int 0 90
# Schools
graded short answers: may pair/similarity: reference_answer, student_answer > grade :: question=q; reference_answer=s;
  student_answer=~reference_answer; grade=float 0 5
short answers in classes: may pair/class: reference_answer, student_answer > accuracy :: question=q;
  reference_answer=s; student_answer=~reference_answer; accuracy=correct|partially_correct|contradictory|irrelevant
options and key: ? :: question=q; option_a=t3; option_b=t3; option_c=t3; option_d=t3; correct_option=A|B|C|D
distractors: n-tuple/none: stem, correct_option, distractor_1, distractor_2, distractor_3 :: item=id i; stem=q;
  correct_option=t3; distractor_1=t3; distractor_2=t3; distractor_3=t3; grade_level=int 3 8
essays: may single/class: essay > holistic_score :: essay_id=index; essay_set=int 1 8; essay=b; holistic_score=int 0 6
objectives and standards: pair/binary: lesson_objective, standard_text > aligned :: lesson_objective=s;
  standard_code=id S; standard_text=s; aligned=0|1
simplification: pair/none: complex_sentence, simple_sentence <> :: complex_sentence=s20;
  simple_sentence=~complex_sentence
levels of reading: ? :: original=b; level_1=~~original; level_2=~~original; level_3=~~original
textbook: may pair/none: section_title, text :: chapter=6*h; section_title=h; text=b; page=int 1 400
hints: may pair/none: problem, solution :: problem=b; hint=s; solution=b; difficulty=int 1 5
peer grades: ? pair/none: assignment, submission :: assignment=5*b; submission=b; peer_grade=int 0 100; grader_id=id g
# Forums
comments and replies: may pair/none: parent_comment, reply :: parent_id=id t; parent_comment=s; reply=s;
  ups=int -20 4000; subreddit=5*w
sarcasm: ? single/class: comment > label :: label=0|1; comment=s; author=n; subreddit=5*w; score=int -5 90;
  parent_comment=s
topics of a board: may pair/none: topic_title, first_post :: topic_id=index; topic_title=h; first_post=b;
  like_count=int 0 90; views=int 10 9000; category=5*w
views changed: may triplet/none: opinion, persuasive_comment, unpersuasive_comment :: opinion=b;
  persuasive_comment=~~opinion; unpersuasive_comment=~~opinion
similar and dissimilar posts: list/binary list: query, similar, dissimilar || n-tuple/none: query, similar, dissimilar
  :: query=q; similar=[q]2; dissimilar=[q]4
toxicity flags: ? :: id=hash; comment_text=b; toxic=0|1; obscene=0|1; threat=0|1; insult=0|1
moderation pairs: ? single/class: reply > removed :: post=s; reply=s; removed=true|false; rule=spam|civility|off-topic
duplicate threads: pair/binary: thread_title, candidate_title > marked_duplicate :: thread_title=q;
  candidate_title=~thread_title; marked_duplicate=0|1; mod=4*n
# Retrieval and its logs
rag log: ? pair/none: question, retrieved_context :: trace_id=uuid; question=q; retrieved_context=~~question;
  generated_answer=~~question; latency_ms=int 200 9000; model=gpt-4|claude|llama
rag evaluation: ? :: question=q; contexts=[b]3; answer=~~question; ground_truth=~question; faithfulness=float 0 1;
  answer_relevancy=float 0 1; context_precision=float 0 1
thumbs: pair/binary|class: user_query, passage > thumbs @up :: ts=iso; user_query=q; passage=~~user_query;
  thumbs=up|down
citations checked: pair/binary|class: claim, cited_passage > supported :: claim=s; cited_passage=~~claim;
  supported=true|false; url=url
questions made of chunks: pair/none: generated_question, chunk :: chunk_id=hash; doc_name=5*n; chunk=b;
  generated_question=~chunk; n_tokens=int 100 400
several hops: list/binary list: question, supporting, distracting || n-tuple/none: question, supporting, distracting ::
  question=q; supporting=[s]2; distracting=[s]5; type=bridge|comparison
a run of ids: ? :: qid=int 1 99; docid=id d; rank=int 1 100; score=float 0 30; tag=|bm25
a run with texts: ? pair/similarity: query, doc_text > bm25 :: query=t4; doc_text=~~query; rank=int 1 100;
  bm25=float 0 30
documents imagined: may pair/none: query, hypothetical_doc :: query=q; hypothetical_doc=~~query; temperature=|0.7
queries rewritten: pair/none: original_query, rewritten_query <> :: session=hash; original_query=t4;
  rewritten_query=~original_query
passages and their ranks: ? :: query=q; passages=[b]5; ranks=[int 1 5]5
retrieved, gold among them: ? :: query=q; candidates=[s]5; gold_index=int 0 4
# Files for rerankers
candidates with marks: list/binary list: q, cands > marks :: q=q; cands=[s]8; marks=[0|1]8
candidates with grades: list/scores|binary list: query, docs > grades :: query=q; docs=[s]6; grades=[int 0 3]6
logits of a teacher: pair/similarity: query, doc > teacher_logit :: query=q; doc=~~query; teacher_logit=float -12 11
two teachers: ? pair/similarity: query, doc > score_bge || pair/similarity: query, doc > score_colbert :: query=q;
  doc=~~query; score_bge=float -10 10; score_colbert=float 0 32
margins: triplet/margin: query, pos, neg > margin :: query=q; pos=~~query; neg=b; margin=float -5 15
ids with margins: ? :: qid=int 1 999; pos_id=int 1 99999; neg_id=int 1 99999; margin=float -5 15
texts suffixed: triplet/none: query_text, pos_text, neg_text :: query_text=q; pos_text=~~query_text; neg_text=b;
  source=bm25|dense
hard negatives in short: n-tuple/none: query, positive, hn_1, hn_2, hn_3 :: query=q; positive=~~query; hn_1=b; hn_2=b;
  hn_3=b
negatives alone: ? :: query=q; irrelevant_passage=b
weighted pairs: may pair/none: query, positive :: query=q; positive=~~query; weight=float 0 1
relevant with a rationale: pair/binary|class: query, document > is_relevant @yes :: query=q; document=b;
  is_relevant="yes"|"no"; rationale=s
scores of both sides: triplet/none|scores: query, positive, negative ||
  triplet/scores: query, positive, negative > positive_score :: query=q; positive=~~query; negative=b;
  positive_score=float 5 11; negative_score=float -9 4
text sides in json: ? :: id=hash; input=json{query=q, passage=b}; output=0|1
# Judges and preferences
two responses and a winner: ? :: prompt=q; response_a=b; response_b=b; winner=model_a|model_b|tie
winner in flags: ? :: id=index; prompt=q; response_a=b; response_b=b; winner_model_a=0|1; winner_tie=|0
preferences: may triplet/none: prompt, chosen, rejected :: prompt=q; chosen=~~prompt; rejected=~~prompt;
  chosen_score=float 5 10; rejected_score=float 0 5
preferences without prompts: ? :: chosen=b; rejected=b
qualities of a response: ? pair/none: instruction, response :: instruction=q; response=~~instruction;
  helpfulness=int 1 5; honesty=int 1 5; truthfulness=int 1 5
relevance by a judge: pair/similarity: question, document > gpt4_relevance :: question=q; document=~~question;
  gpt4_relevance=0|1|2|3; gpt4_reason=s
equivalence by a judge: may pair/binary|class: reference, prediction > verdict @CORRECT :: question=q; reference=t4;
  prediction=~reference; verdict=CORRECT|INCORRECT
desirable completions: may pair/binary: prompt, completion > label :: prompt=q; completion=~~prompt; label=true|false
safe responses: ? single/class: response > is_safe :: prompt=q; response=b; is_safe=true|false;
  harm_category=violence|privacy|none
facts against evidence: pair/class: response_sentence, evidence > label :: response_sentence=s;
  evidence=~~response_sentence; label=SUPPORTED|REFUTED|NEI; annotator=id w
consistency of summaries: may pair/similarity: source, summary > consistency :: source=b; summary=~source;
  consistency=float 0 1; system=bart|pegasus|t5
fluency of summaries: ? pair/none: article, summary :: article=b; summary=~article; fluency=float 1 5
convincing arguments: ? :: argument_a=s; argument_b=s; more_convincing=a1|a2
arguments and their quality: ? single/none: argument :: topic=4*q; argument=s; quality=float 0 1; stance=1|-1
# Records that are the same
restaurants: may pair/binary: name1, name2 > match || pair/binary: addr1, addr2 > match :: name1=n; addr1=t5;
  city1=4*w; name2=~name1; addr2=~addr1; city2=4*w; match=0|1
bibliographies: pair/binary: ltable_title, rtable_title > label :: _id=index; ltable_id=int 1 999; rtable_id=int 1 999;
  ltable_title=h8; ltable_venue=VLDB|SIGMOD|TODS; ltable_year=int 1995 2003; rtable_title=~ltable_title;
  rtable_venue=VLDB|SIGMOD|TODS; rtable_year=int 1995 2003; label=0|1
near duplicates: may pair/similarity: doc_a, doc_b > jaccard :: doc_a=b; doc_b=~~doc_a; jaccard=float 0 1
clusters of duplicates: single/class: text > cluster_id :: doc_id=hash; text=b; cluster_id=0|1|2|3|4
addresses: pair/none: raw_address, canonical_address <> :: raw_address=t6; canonical_address=~raw_address; geohash=hash
people: ? :: rec_id=id r; given_name=w; surname=w; date_of_birth=date; street=t2; postcode=int 1000 9999
captions of an image: ? :: image_url=url; caption_1=s; caption_2=s; caption_3=s
# Subtitles, speech, translation
subtitle lines: may single/none: text :: idx=index; start_ms=int 0 900000; end_ms=int 0 900000; text=s
recognised speech: may pair/none: reference, hypothesis <> :: audio=id a; reference=s; hypothesis=~reference;
  wer=float 0 1
quality of translations: may pair/similarity: src, mt > da_score || pair/similarity: ref, mt > da_score :: src=s;
  mt=s.de; ref=s.de; da_score=float 0 100; lp=|en-de
effort of editing: ? pair/none: src, mt :: src=s; mt=s.fr; hter=float 0 1
# News and words
headlines: pair/none: headline, article_body :: headline=h8; article_body=b80; publisher=5*n; published=date
clickbait: ? single/class: title > is_clickbait :: title=h8; body=b; is_clickbait=0|1
stance to a headline: pair/class: headline, body > stance :: headline=h8; body=b;
  stance=agree|disagree|discuss|unrelated
dictionary: pair/none: word, definition :: word=w; pos=noun|verb|adjective; definition=s
cached vectors: single/embedding: chunk > embedding :: chunk=b; embedding=vec 32; model=|ada-002
leaning of news: ? single/class: text > bias :: title=h8; text=b; bias=left|center|right; outlet=5*n
# German
de, tickets: may pair/none: Betreff, Beschreibung || single/class: Beschreibung > Kategorie :: Ticketnr=int 1000 9999;
  Betreff=h.de; Beschreibung=b.de; Kategorie=Drucker|Netzwerk|Zugang; Priorität=hoch|mittel|niedrig
de, companies: pair/binary|class: Firmenname_A, Firmenname_B > Dublette @ja :: Firmenname_A=n.de;
  Firmenname_B=~Firmenname_A; PLZ_A=int 10000 99999; PLZ_B=int 10000 99999; Dublette=ja|nein
de, similarity: pair/similarity: Satz_A, Satz_B > Ähnlichkeit :: Satz_A=s.de; Satz_B=~Satz_A; Ähnlichkeit=float 0 5
de, questions of a site: pair/none: Frage, Antwort :: Frage=q.de; Antwort=~~Frage; Stand=date; Rubrik=Steuern|Renten
de, jobs: pair/class: Stellenanzeige, Lebenslauf > Passung :: Stellenanzeige=b.de; Lebenslauf=b.de;
  Passung=gut|mittel|schlecht
de, right and wrong hits: triplet/none: Suchanfrage, richtiger_Treffer, falscher_Treffer :: Suchanfrage=t3.de;
  richtiger_Treffer=b.de; falscher_Treffer=b.de
de, points of pupils: may pair/similarity: Musterlösung, Schülerantwort > Punkte :: Musterlösung=s.de;
  Schülerantwort=~Musterlösung; Punkte=int 0 10
de, school marks: ? :: Aufgabe=q.de; Antwort=~~Aufgabe; Schulnote=int 1 6
de, distance: ? :: Text_1=s.de; Text_2=~Text_1; Abstand=float 0 1
# French
fr, questions: pair/none: question, réponse :: question=q.fr; réponse=~~question; thème=fiscalité|logement
fr, paraphrases: pair/binary|class: phrase1, phrase2 > paraphrase @oui :: phrase1=s.fr; phrase2=~phrase1;
  paraphrase=oui|non
fr, relevance: pair/similarity: requête, document > pertinence :: requête=t3.fr; document=b.fr; pertinence=0|1|2|3
fr, reviews: may pair/none: titre, avis || single/class: avis > note :: titre=h.fr; avis=b.fr; note=int 1 5;
  date_achat=date
fr, articles of law: pair/none: question, texte_article :: question=q.fr; num_article=id L; texte_article=~~question
fr, triplets: triplet/none: ancre, positif, négatif :: ancre=q.fr; positif=~ancre; négatif=q.fr
fr, offers: pair/similarity: offre, cv > adéquation :: offre=b.fr; cv=b.fr; adéquation=float 0 1
fr, catalog: may pair/none: libellé, descriptif || single/class: libellé > rayon || single/class: descriptif > rayon ::
  réf=id R; libellé=h.fr; descriptif=b.fr; rayon=jardin|cuisine|sport
# Spanish
es, right and wrong answers: triplet/none: pregunta, respuesta_correcta, respuesta_incorrecta :: pregunta=q.es;
  respuesta_correcta=~~pregunta; respuesta_incorrecta=b.es
es, sentiment: single/class: texto > sentimiento :: texto=s.es; sentimiento=positivo|negativo|neutro; usuario=id u
es, shop search: pair/similarity: consulta, producto > relevancia :: consulta=t3.es; producto=h.es;
  relevancia=float 0 1
es, inference: pair/class: oración_1, oración_2 > etiqueta :: oración_1=s.es; oración_2=~oración_1;
  etiqueta=implicación|contradicción|neutral
es, complaints: may pair/none: reclamo, resolución :: nro=index; reclamo=b.es; resolución=~~reclamo;
  estado=abierto|cerrado; fecha=date
es, persons: pair/binary|class: nombre_a, nombre_b > misma_persona @sí :: nombre_a=n.es; nombre_b=~nombre_a;
  misma_persona=sí|no
# Italian
it, questions: pair/none: domanda, risposta :: domanda=q.it; risposta=~~domanda; argomento=sanità|scuola
it, similarity: pair/similarity: testo_1, testo_2 > somiglianza :: testo_1=s.it; testo_2=~testo_1;
  somiglianza=float 0 1
it, reviews: may pair/none: titolo, recensione || single/class: recensione > voto :: titolo=h.it; recensione=b.it;
  voto=int 1 5
it, relevance: pair/binary|class: ricerca, documento > rilevante @sì :: ricerca=t3.it; documento=b.it; rilevante=sì|no
it, judgments: pair/none: sentenza, massima <> :: numero=id S; sentenza=b80.it; massima=~sentenza; anno=int 1990 2023
# Portuguese
pt, questions: pair/none: pergunta, resposta :: pergunta=q.pt; resposta=~~pergunta; fonte=5*n.pt
pt, complaints with marks: ? pair/none: reclamação, resposta_empresa :: reclamação=b.pt;
  resposta_empresa=~~reclamação; nota_consumidor=int 0 10
pt, products: pair/binary: produto_a, produto_b > duplicado :: produto_a=h.pt; produto_b=~produto_a; duplicado=0|1
pt, categories: single/class: texto > categoria :: texto=b.pt; categoria=política|esporte|economia; data=date
pt, similarity: pair/similarity: frase_1, frase_2 > similaridade :: frase_1=s.pt; frase_2=~frase_1;
  similaridade=float 1 5
# Dutch
nl, questions: pair/none: vraag, antwoord :: vraag=q.nl; antwoord=~~vraag; bijgewerkt=date
nl, similarity: pair/similarity: zin1, zin2 > gelijkenis :: zin1=s.nl; zin2=~zin1; gelijkenis=float 0 5
nl, complaints: single/class: klacht > afdeling :: klacht=b.nl; afdeling=Facturatie|Levering|Techniek
nl, clicks: pair/binary|class: zoekterm, titel > geklikt @ja :: zoekterm=t3.nl; titel=h.nl; geklikt=ja|nee
nl, vacancies: pair/similarity: vacature, cv > matchscore :: vacature=b.nl; cv=b.nl; matchscore=int 0 100
# Japanese
ja, questions: pair/none: 質問, 回答 :: 質問=q.ja; 回答=~~質問; 更新日=date
ja, similarity: pair/similarity: 文1, 文2 > 類似度 :: 文1=s.ja; 文2=~文1; 類似度=float 0 5
ja, inference: pair/class: 前提, 仮説 > ラベル :: 前提=s.ja; 仮説=~前提; ラベル=含意|矛盾|中立
ja, departments: single/class: 問い合わせ内容 > 担当部署 :: 問い合わせ内容=b.ja; 担当部署=営業部|技術部|経理部
ja, triplets: triplet/none: クエリ, 正例, 負例 :: クエリ=q.ja; 正例=~~クエリ; 負例=b.ja
# Chinese
zh, questions: pair/none: 问题, 答案 :: 问题=q.zh; 答案=~~问题; 来源=知乎|百度
zh, same goods: pair/binary|class: 商品标题A, 商品标题B > 是否同款 @是 :: 商品标题A=t6.zh; 商品标题B=~商品标题A;
  是否同款=是|否
zh, news: may pair/none: 标题, 正文 || single/class: 正文 > 类别 || single/class: 标题 > 类别 :: 标题=h.zh; 正文=b.zh;
  类别=体育|财经|科技
zh, triplets: triplet/none: 查询, 正样本, 负样本 :: 查询=q.zh; 正样本=~~查询; 负样本=b.zh
zh, departments: single/class: 病情描述 > 科室 :: 病情描述=b.zh; 科室=内科|外科|皮肤科
# Russian
ru, questions: pair/none: вопрос, ответ :: вопрос=q.ru; ответ=~~вопрос; дата=date
ru, relevance: pair/similarity: запрос, документ > релевантность :: запрос=t3.ru; документ=b.ru; релевантность=0|1|2|3
ru, tone: single/class: текст > тональность :: текст=s.ru; тональность=позитив|негатив|нейтрально
ru, duplicates: pair/binary|class: фраза_1, фраза_2 > дубликат @да :: фраза_1=s.ru; фраза_2=~фраза_1; дубликат=да|нет
ru, reviews answered: ? pair/none: отзыв, ответ_компании :: отзыв=b.ru; ответ_компании=~~отзыв; оценка=int 1 5
# Polish
pl, questions: pair/none: pytanie, odpowiedź :: pytanie=q.pl; odpowiedź=~~pytanie; data=date
pl, similarity: pair/similarity: zdanie_A, zdanie_B > podobieństwo :: zdanie_A=s.pl; zdanie_B=~zdanie_A;
  podobieństwo=float 0 5
pl, categories: single/class: treść > kategoria :: treść=b.pl; kategoria=sport|polityka|kultura
pl, relevance: pair/binary|class: zapytanie, dokument > trafny @tak :: zapytanie=t3.pl; dokument=b.pl; trafny=tak|nie
# Turkish
tr, questions: pair/none: soru, cevap :: soru=q.tr; cevap=~~soru; tarih=date
tr, similarity: pair/similarity: cümle1, cümle2 > benzerlik :: cümle1=s.tr; cümle2=~cümle1; benzerlik=float 0 5
tr, feelings: single/class: metin > duygu :: metin=s.tr; duygu=olumlu|olumsuz|nötr
tr, relevance: pair/binary|class: sorgu, ürün_adı > ilgili @evet :: sorgu=t3.tr; ürün_adı=h.tr; ilgili=evet|hayır
""")
